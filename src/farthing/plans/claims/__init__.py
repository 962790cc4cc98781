"""Claims: statements checked against physics, prices and arithmetic, each with a verdict and its computation.

from farthing.plans import claims
for judgement in claims.packaged():
    print(judgement.id, judgement.verdict, judgement.finding.computation)
"""

from farthing.plans.claims.read import judge_file, judge_text, packaged
from farthing.plans.claims.verdict import Finding, Judgement, Span, Stated, Verdict

__all__ = ["Finding", "Judgement", "Span", "Stated", "Verdict", "judge_file", "judge_text", "packaged"]
