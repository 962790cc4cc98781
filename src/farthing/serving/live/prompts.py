"""Prompts that no cache has seen: random words of our own list, as many as make the tokens asked for."""

import random

import msgspec

WORDS = (  # noqa: SIM905 (four hundred words in quotes are harder to read)
    "about above across after again air all almost along also always animal answer apple around ask autumn away back "
    "bank base bear beauty bed began behind below best better between big bird black blue board boat body book both "
    "bottom bread bridge bring brother brown build busy call came car care carry center chance change chart child city "
    "class clear climb close cloud coast cold color common corner cost cotton could count country course cover cross "
    "dark day deep desert desk door down dream drink drive early earth east eat edge eight engine enough evening ever "
    "every eye face fact fall family farm fast father feet field figure fill final find fine fire first fish five "
    "flower fly follow food foot force forest form forward found four free friend front full game garden gave girl "
    "give glass gold good grass great green ground group grow half hand happy hard head hear heart heat heavy help "
    "here high hill history home horse hot hour house hundred idea inch island just keep kind king knew know lake "
    "land language large last late laugh lead learn leave left letter level life light line list little live long "
    "look low machine made main make many map mark market measure milk mile mind minute money moon morning mother "
    "mountain move music name nation near night north note nothing number ocean old open orange order paper park part "
    "pass past people person picture piece place plain plan plant play point power press problem quick quiet rain "
    "reach read red rest rich ride right river road rock room round rule run sail salt same sand school science sea "
    "season seat second seed seven shape ship shop short side silver simple sing six sleep slow small snow soft song "
    "sound south space speak spring stand star start state station stay steel step stone stop story street strong "
    "study summer sun table talk tall ten test thick thing third thousand three time today together top town track "
    "trade train tree true turn twelve under until upon valley voice walk wall warm watch water way week weight west "
    "wheel white wide wild wind window winter wish wood word work world write year yellow young"
).split()


class Lengths(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of a prompt = `overhead` + `per_word` × words, as the server counted its probes."""

    overhead: float = 0.0
    per_word: float = 1.0
    measured: bool = False

    def words(self, tokens: int) -> int:
        """How many words make `tokens` tokens; at least one."""
        return max(1, round((tokens - self.overhead) / self.per_word))


def fitted(first: tuple[int, int], second: tuple[int, int]) -> Lengths:
    """The line through two probes, each (words, tokens counted)."""
    (few, low), (many, high) = sorted((first, second))
    if many == few or high <= low:
        return Lengths(per_word=high / many, measured=True) if high else Lengths()
    per_word = (high - low) / (many - few)
    return Lengths(overhead=low - per_word * few, per_word=per_word, measured=True)


def text(words: int, seed: str) -> str:
    """`words` random words; another `seed` gives another text from its first words on."""
    return " ".join(random.Random(seed).choices(WORDS, k=words))


class Prompts(msgspec.Struct, frozen=True, kw_only=True):
    """The prompts of a point: `words` each, of which the first `shared_words` are the same in all."""

    words: int
    seed: str
    shared_words: int = 0

    def __getitem__(self, index: int) -> str:
        """The prompt of request `index` (negative: warm-up)."""
        own = text(max(1, self.words - self.shared_words), f"{self.seed}/{index}")
        return f"{text(self.shared_words, f'{self.seed}/shared')} {own}" if self.shared_words else own
