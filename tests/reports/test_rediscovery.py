"""Rediscovery on the page: found and not found, in finals and before, β and pre-activations of the Swish found."""

from pathlib import Path

import pytest

from actsearch.config import RunConfig, SpaceSettings
from actsearch.evaluation import Evaluation, Outcome, evaluation_key
from actsearch.rediscovery import sightings
from actsearch.store import Store
from actsearch_reports import rediscovery
from actsearch_reports.page import write_report
from tests.actsearch.test_store_finals import PLAN, SWISH
from tests.reports.conftest import SEARCH, DrawOnly, StoreRun, layers_of
from tests.reports.final_result import LONG, RESULT
from tests.reports.test_page import Page, rows


def in_finals(store: Store) -> None:
    """Finals with one training of Swish, in the search's child with the first seed."""
    store.finals.begin("first", PLAN)
    protocol, seed = PLAN.panel[0], PLAN.final_seeds[0]
    key = evaluation_key(SWISH.fingerprint, protocol.child, protocol.recipe, RunConfig().dataset, seed)
    layers = tuple(
        layer.model_copy(update={"betas": {"beta": (2.5,) * 8}, "channels": 8}) for layer in layers_of(SWISH.tokens, 1)
    )
    done = Evaluation(
        run="first", evaluation=key, outcome=Outcome.TRAINED, val_accuracy=0.8, test_accuracy=0.8, layers=layers
    )
    store.finals.record(done, fingerprint=SWISH.fingerprint, child=protocol.child.name, seed=seed, measures_test=True)


def test_found_and_in_finals(store_run: StoreRun, draw_only: DrawOnly, tmp_path: Path) -> None:
    draw_only("swish_betas", "swish_preactivations")
    store = store_run()
    in_finals(store)
    swish = RESULT.rows[0]
    candidate = swish.candidate.model_copy(update={"fingerprint": SWISH.fingerprint})
    # Another function stands before it: it is beaten by mean rank, and tied all the same.
    other = RESULT.rows[1].model_copy(update={"mean_rank": 0.5})
    result = RESULT.model_copy(
        update={"rows": (other, swish.model_copy(update={"candidate": candidate}), *RESULT.rows[2:])}
    )
    store.finals.finish("first", result)
    folder = tmp_path / "report"
    page = Page(write_report(store, "first", folder))
    for words in (
        "First proposed evaluation 3, proposal 3: x*sigmoid(beta*x)",
        "15 of 6,250 token sequences: half of such searches have met it after 288 draws, 0.7 % after 3, as many as here",
        "3 of 9: x*sigmoid(beta*x), 81.60 %, 1 training",
        "2 of 4 by mean rank: x*sigmoid(beta*x)",
        "Tied with the best yes",
        "yes: +1.81 (+1.61 to +2.01) points, Holm p < 0.0001",
        f"{LONG}, by mean rank; none is shown to be better",
        "finals, nf_resnet8, 300 steps, the first of its seeds",
        "β began at 1 and ended with mean 2.500, 2.500 to 2.500 over 40 channels",
    ):
        assert words in page.text
    family, strict = rows(folder / "rediscovery.csv")
    assert (family["kind"], family["functions"], family["first_evaluation"], family["search_rank"]) == (
        "Swish family",
        "2",
        "3",
        "3",
    )
    assert (strict["final_place"], strict["is_tied"], strict["is_better"], strict["beaten_by"]) == (
        "2",
        "True",
        "True",
        LONG,
    )
    assert float(strict["random_median_draws"]) == pytest.approx(1443.7, abs=0.1)


def test_not_found_is_said_plainly_with_the_chance_of_random(
    store_run: StoreRun, draw_only: DrawOnly, tmp_path: Path
) -> None:
    draw_only()
    page = Page(write_report(store_run(SEARCH[:2]), "first", tmp_path / "report"))
    assert "First proposed not found in 2 evaluations, 2 proposals" in page.text
    assert "This search did not find Swish." in page.text
    assert not (tmp_path / "report" / "swish_betas.png").exists()


def told(
    store: Store, *, finals: str, space: SpaceSettings | None = None, with_result: bool = False
) -> list[dict[str, str]]:
    records, proposals = store.evaluations("first"), store.proposals("first")
    found = sightings(
        space or SpaceSettings(), records, proposals, PLAN if with_result else None, RESULT if with_result else None
    )
    return [dict(rediscovery.told(s, ranked=9, finals=finals, finalists=4, reference="ReLU")) for s in found]


def test_before_finals_and_behind_in_them(store_run: StoreRun) -> None:
    store = store_run()
    family, _ = told(store, finals="none")
    assert family["In finals"] == "no finals have been run"
    assert family["Tied with the best"] == "–"
    assert family["What stands before it"] == "sinc(x) - softplus(x), min(x, sin(x)), by search score: luck in part"
    family, strict = told(store, finals="done", with_result=True)
    assert family["In finals"] == strict["In finals"] == "1 of 4 by mean rank: x*sigmoid(beta*x)"
    assert family["What stands before it"] == "nothing, by mean rank"


def test_what_is_not_known_is_said(store_run: StoreRun) -> None:
    store = store_run()
    family, _ = told(store, finals="none", space=SpaceSettings(units=2))
    assert family["Uniform random draws"].startswith("not known: nobody has counted")
    family, strict = told(store, finals="none", space=SpaceSettings(unary=("identity", "sin"), binary=("gate", "max")))
    assert family["Uniform random draws"].startswith(
        "1 of 8 token sequences: half of such searches have met it after 5 draws"
    )
    assert (
        family["Random without repeats"]
        == "not known: different functions are counted of the whole one-unit space only"
    )
    assert strict["Uniform random draws"] == "0 of 8 token sequences: it cannot be found in this space"


def test_a_family_member_that_was_not_promoted(store_run: StoreRun) -> None:
    store = store_run()
    records, proposals = store.evaluations("first"), store.proposals("first")
    without = RESULT.model_copy(update={"rows": RESULT.rows[1:]})
    family, strict = (
        rediscovery.told(s, ranked=9, finals="done", finalists=3, reference="ReLU")
        for s in sightings(SpaceSettings(), records, proposals, PLAN, without)
    )
    assert family["In finals"] == strict["In finals"] == "screened, not promoted"
    dropped = RESULT.rows[0].model_copy(update={"is_dropped": True, "is_tied": False, "is_better": False, "seeds": 4})
    behind = RESULT.model_copy(update={"rows": (*RESULT.rows[1:4], dropped)})
    (family, _) = (
        rediscovery.told(s, ranked=9, finals="done", finalists=3, reference="ReLU")
        for s in sightings(SpaceSettings(), records, proposals, PLAN, behind)
    )
    assert family["In finals"] == "x*sigmoid(beta*x): dropped as hopeless after 4 seeds"
    assert family["Tied with the best"] == "no"
    assert family["What stands before it"].endswith("all that were not dropped")
