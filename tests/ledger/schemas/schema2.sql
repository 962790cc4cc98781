PRAGMA application_id = 0x46524C31;
BEGIN TRANSACTION;
CREATE TABLE attempt (
  attempt TEXT PRIMARY KEY, request TEXT NOT NULL, number INTEGER NOT NULL, state INTEGER NOT NULL,
  batch INTEGER NOT NULL, started_us INTEGER NOT NULL, took_us INTEGER, first_us INTEGER, worker INTEGER,
  route INTEGER NOT NULL, caller INTEGER NOT NULL, user INTEGER, session TEXT, streamed INTEGER NOT NULL,
  status INTEGER, error TEXT, estimated INTEGER NOT NULL, input INTEGER, cache_read INTEGER, cache_write INTEGER,
  cache_write_5m INTEGER, cache_write_1h INTEGER, output INTEGER, reasoning INTEGER, more TEXT, usd ANY,
  unknown INTEGER, reported_usd ANY, tags INTEGER, attrs INTEGER, decision TEXT
, answer TEXT) STRICT, WITHOUT ROWID;
INSERT INTO "attempt" VALUES('a1','r1',1,2,1,1795176000001000,1500000,200000,1,1,1,2,'s1',0,200,NULL,0,1001,200,NULL,NULL,NULL,50,NULL,NULL,3052500000000,NULL,NULL,3,NULL,'{"chosen":"main"}','chatcmpl-1');
INSERT INTO "attempt" VALUES('a2','r2',1,2,1,1795176000002000,1500000,200000,1,1,2,4,NULL,0,200,NULL,0,NULL,NULL,NULL,NULL,NULL,3,NULL,'{"audio_second":1500000}','193/600000',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "attempt" VALUES('a3','r3',1,2,1,1795176000003000,1500000,200000,5,2,3,6,NULL,0,200,NULL,0,1003,200,NULL,NULL,NULL,50,NULL,NULL,NULL,7,10000000000000,NULL,NULL,NULL,NULL);
INSERT INTO "attempt" VALUES('a4','r4',1,3,1,1795176000004000,1500000,200000,5,3,1,8,NULL,0,500,'overloaded',0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "attempt" VALUES('a5','r5',1,0,1,1795176000005000,NULL,200000,1,1,2,9,NULL,0,200,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "attempt" VALUES('a6','r6',1,4,1,1795176000006000,1500000,200000,1,4,3,10,NULL,1,200,NULL,1,1006,200,NULL,NULL,NULL,50,NULL,NULL,1557500000000,NULL,NULL,NULL,11,NULL,NULL);
CREATE TABLE caller (
  id INTEGER PRIMARY KEY, "key" TEXT NOT NULL, feature TEXT NOT NULL, request_type TEXT NOT NULL,
  segment TEXT NOT NULL, UNIQUE ("key", feature, request_type, segment)
);
INSERT INTO "caller" VALUES(1,'k1','f1','','');
INSERT INTO "caller" VALUES(2,'k1','f2','','');
INSERT INTO "caller" VALUES(3,'k1','f0','','');
CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), batch INTEGER NOT NULL, epoch INTEGER NOT NULL);
INSERT INTO "clock" VALUES(1,1,0);
CREATE TABLE day (
  day INTEGER PRIMARY KEY, file TEXT NOT NULL, rows INTEGER NOT NULL, through INTEGER NOT NULL,
  removed INTEGER NOT NULL, sums TEXT NOT NULL, closed_us INTEGER NOT NULL
);
CREATE TABLE dropped_day (day INTEGER PRIMARY KEY, rows INTEGER NOT NULL, dropped_us INTEGER NOT NULL);
CREATE TABLE hold (
  attempt TEXT NOT NULL, purse TEXT NOT NULL, amount INTEGER NOT NULL, expires_us INTEGER,
  PRIMARY KEY (attempt, purse)
) STRICT, WITHOUT ROWID;
INSERT INTO "hold" VALUES('a5','key:k_1/month@2026-11-01',400000,NULL);
CREATE TABLE journal (worker TEXT PRIMARY KEY, through INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "journal" VALUES('host:7:1795000000000000',7);
CREATE TABLE lease (
  purse TEXT NOT NULL, worker TEXT NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (purse, worker)
) STRICT, WITHOUT ROWID;
INSERT INTO "lease" VALUES('key:k_1/month@2026-11-01','host:7:1795000000000000',1000000);
CREATE TABLE price (name TEXT PRIMARY KEY, offer TEXT NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "price" VALUES('openai/gpt-test 2026-01-01 card 95543a7428e6','openai/gpt-test','{"currency":"USD","minimum_usd":null,"modifiers":[],"note":"","rates":[{"amount":"2.5","brackets":[],"brackets_per":"request","free":null,"group":"","high":null,"low":null,"meter":"input","minimum":null,"note":"","per":1000000,"source":null,"step":null,"when":{"attrs":[],"bands":[],"period":null,"regions":null,"tier":null,"window":null}},{"amount":"1.25","brackets":[],"brackets_per":"request","free":null,"group":"","high":null,"low":null,"meter":"input","minimum":null,"note":"","per":1000000,"source":null,"step":null,"when":{"attrs":[],"bands":[],"period":null,"regions":null,"tier":"batch","window":null}},{"amount":"5","brackets":[],"brackets_per":"request","free":null,"group":"","high":null,"low":null,"meter":"input","minimum":null,"note":"","per":1000000,"source":null,"step":null,"when":{"attrs":[],"bands":[{"high":4611686018427387904,"low":200001,"of":"prompt"}],"period":null,"regions":null,"tier":null,"window":null}},{"amount":"0.25","brackets":[],"brackets_per":"request","free":null,"group":"","high":null,"low":null,"meter":"cache_read","minimum":null,"note":"","per":1000000,"source":null,"step":null,"when":{"attrs":[],"bands":[],"period":null,"regions":null,"tier":null,"window":null}},{"amount":"10","brackets":[],"brackets_per":"request","free":null,"group":"","high":null,"low":null,"meter":"output","minimum":null,"note":"","per":1000000,"source":null,"step":null,"when":{"attrs":[],"bands":[],"period":null,"regions":null,"tier":null,"window":null}},{"amount":"5","brackets":[],"brackets_per":"request","free":null,"group":"","high":null,"low":null,"meter":"output","minimum":null,"note":"","per":1000000,"source":null,"step":null,"when":{"attrs":[],"bands":[],"period":null,"regions":null,"tier":"batch","window":null}},{"amount":"0.7","brackets":[],"brackets_per":"request","free":null,"group":"","high":null,"low":null,"meter":"audio_second","minimum":null,"note":"","per":3600,"source":null,"step":null,"when":{"attrs":[],"bands":[],"period":null,"regions":null,"tier":null,"window":null}}],"recorded":null,"source":{"grade":2,"id":"card","seen":"2026-11-20","title":"a card","where":"the tests"},"usd":"1","valid_from":"2026-01-01T00:00:00Z","valid_to":null}');
CREATE TABLE purse (id TEXT PRIMARY KEY, spent INTEGER NOT NULL, changed_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "purse" VALUES('key:k_1/month@2026-11-01',3052500,1795176000001000);
CREATE TABLE route (
  id INTEGER PRIMARY KEY, protocol TEXT NOT NULL, surface TEXT NOT NULL, provider TEXT NOT NULL,
  upstream TEXT NOT NULL, model_asked TEXT NOT NULL, model_served TEXT NOT NULL, tier_asked TEXT NOT NULL,
  tier_served TEXT NOT NULL, region TEXT NOT NULL, price TEXT NOT NULL,
  UNIQUE (model_served, price, upstream, model_asked, provider, tier_served, tier_asked, region, surface, protocol)
);
INSERT INTO "route" VALUES(1,'','','openai','main','gpt-test','gpt-test','','','','openai/gpt-test 2026-01-01 card 95543a7428e6');
INSERT INTO "route" VALUES(2,'','','openai','main','gpt-test','new','','','','');
INSERT INTO "route" VALUES(3,'','','openai','main','gpt-test','gpt-test','','','','');
INSERT INTO "route" VALUES(4,'','','openai','main','gpt-test','gpt-test','','batch','','openai/gpt-test 2026-01-01 card 95543a7428e6');
CREATE TABLE schema (version INTEGER PRIMARY KEY, applied_us INTEGER NOT NULL);
INSERT INTO "schema" VALUES(1,1795323704424699);
INSERT INTO "schema" VALUES(2,1795327858764350);
CREATE TABLE text (id INTEGER PRIMARY KEY, value TEXT NOT NULL UNIQUE);
INSERT INTO "text" VALUES(1,'host:7:1795000000000000');
INSERT INTO "text" VALUES(2,'u1');
INSERT INTO "text" VALUES(3,'{"team":"x"}');
INSERT INTO "text" VALUES(4,'u2');
INSERT INTO "text" VALUES(5,'host:8:1795000000000001');
INSERT INTO "text" VALUES(6,'u3');
INSERT INTO "text" VALUES(7,'no offer openai/new');
INSERT INTO "text" VALUES(8,'u4');
INSERT INTO "text" VALUES(9,'u5');
INSERT INTO "text" VALUES(10,'u6');
INSERT INTO "text" VALUES(11,'{"size":"1024"}');
CREATE TABLE virtual_key (
  id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, name TEXT NOT NULL, record TEXT NOT NULL,
  created_us INTEGER NOT NULL, expires_us INTEGER, revoked_us INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO "virtual_key" VALUES('k_1',X'00FF','one','{}',1795176000000000,NULL,NULL);
CREATE TABLE wanted (purse TEXT PRIMARY KEY, at_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "wanted" VALUES('key:k_1/month@2026-11-01',1795176000000000);
CREATE INDEX open_attempt ON attempt (worker) WHERE state = 0;
CREATE INDEX lease_of ON lease (worker);
CREATE INDEX expiring_hold ON hold (purse, expires_us) WHERE expires_us IS NOT NULL;
CREATE VIEW usage AS SELECT
  a.attempt AS id, a.request, a.number,
  CASE a.state WHEN 0 THEN 'open' WHEN 1 THEN 'lost' WHEN 2 THEN 'done' WHEN 3 THEN 'failed' ELSE 'cancelled' END
    AS state,
  a.started_us, a.took_us, a.first_us, r.provider, r.upstream, r.model_asked, r.model_served, r.tier_asked,
  r.tier_served, r.region, c."key", c.feature, c.request_type, c.segment, u.value AS user, a.session,
  t.value AS tags, x.value AS attrs, a.estimated, a.reported_usd, a.input, a.cache_read, a.cache_write,
  a.cache_write_5m, a.cache_write_1h, a.output, a.reasoning, a.more, a.answer, d.day IS NOT NULL AS late
FROM attempt a JOIN route r ON r.id = a.route JOIN caller c ON c.id = a.caller
LEFT JOIN text u ON u.id = a.user LEFT JOIN text t ON t.id = a.tags LEFT JOIN text x ON x.id = a.attrs
LEFT JOIN day d ON d.day = a.started_us / 86400000000
WHERE d.day IS NULL OR a.state = 0 OR a.batch > d.through;
COMMIT;
