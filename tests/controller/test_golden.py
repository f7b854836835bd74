"""Seeded searches whose proposals are kept: a change that alters what a search does shows here.

Kept are proposals, which of them were new, and the fingerprints of those, no floats: their last digits differ between CPU types, so a policy's
samples could, in principle, too. `pytest --update-golden` rewrites the files; the commit says why.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from actsearch.config import PPOSettings, RunConfig
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.identity import fingerprint
from actsearch.store import Store
from actsearch_controller.search import search
from tests.controller.synthetic import ShuffledEvaluator

GOLDEN = Path(__file__).parents[1] / "golden"
STEPS = 20


@pytest.mark.parametrize("controller", ["ppo", "random"])
def test_a_seeded_search_of_twenty_steps_proposes_what_it_did(
    controller: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = PPOSettings(learning_rate=3e-3)
    config = RunConfig(seed=1, controller=controller, evaluations=3 * STEPS, batch=3, lag=2, ppo=settings)
    with Store.open(tmp_path / "s.sqlite") as store:
        search(config, ShuffledEvaluator(0, workers=2), store=store, run="golden")
        found: dict[str, Any] = {
            "proposals": [[p.batch, p.slot, " ".join(p.tokens), p.is_new] for p in store.proposals("golden")],
            "fingerprints": [
                fingerprint(expression_of(Formula.from_tokens(r.tokens))) for r in store.evaluations("golden")
            ],
        }
        assert store.summary("golden").batches_told >= STEPS
    path = GOLDEN / f"search_{controller}.json"
    if request.config.getoption("--update-golden"):
        # One proposal a line, so that a diff shows which ones changed.
        path.write_text(json.dumps(found, indent=1).replace("\n   ", " ").replace("\n  ]", "]") + "\n")
    assert json.loads(path.read_text()) == found
