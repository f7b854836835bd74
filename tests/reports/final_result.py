"""A made-up statement of finals: a tied group of two, a control behind it, ReLU, and one that was dropped."""

from actsearch.finals import Candidate, ChildRow, Estimate, FinalRow, FinalsResult

CHILDREN = ("nf_resnet8", "resnet20", "efficientnet_tiny")


def _estimate(mean: float) -> Estimate:
    return Estimate(mean=mean, low=mean - 0.002, high=mean + 0.002)


def _row(
    tokens: tuple[str, ...],
    canonical: str,
    name: str,
    *,
    mean: float | None,
    search: float | None = None,
    is_control: bool = False,
    is_dropped: bool = False,
    is_tied: bool = False,
    rank: float = 1.0,
) -> FinalRow:
    difference = None if mean is None else _estimate(mean)
    children = tuple(
        ChildRow(
            child=child,
            accuracy=0.8 + (mean or 0.0) + 0.001 * k,
            failures=2 if is_dropped and k == 1 else 0,
            difference=None if mean is None else _estimate(mean + 0.004 * (k - 1)),
            p_holm=None if search is None else 0.01,
        )
        for k, child in enumerate(CHILDREN)
    )
    return FinalRow(
        candidate=Candidate(
            tokens=tokens,
            formula=canonical,
            canonical=canonical,
            names=(name,) if name else (),
            fingerprint=canonical[:16],
            equivalence_class=canonical,
            search_accuracy=search,
            is_control=is_control,
        ),
        seeds=4 if is_dropped else 10,
        is_dropped=is_dropped,
        mean_rank=None if is_dropped else rank,
        difference=difference,
        p=None if mean is None or is_dropped else 0.00001,
        p_holm=None if search is None else (1.0 if is_dropped else 0.00003),
        is_better=search is not None and not is_dropped,
        is_tied=is_tied,
        children=children,
        again_accuracy=None if search is None else search - 0.008,
        test_accuracy=0.79 + (mean or 0.0),
        test_difference=difference,
    )


LONG = "exp(-beta*abs(log(abs(x) + 1e-5) - tanh(x)/(sinc(beta2*x) + 1e-5)))*max(x, sigmoid(x))*cosh(x)"

RESULT = FinalsResult(
    rows=(
        _row(("scale", "identity", "gate"), "x*sigmoid(beta*x)", "Swish", mean=0.0181, search=0.83, is_tied=True),
        _row(("sinc", "softplus", "subtract"), LONG, "", mean=0.0162, search=0.84, is_tied=True, rank=2.3),
        _row(("identity", "identity", "gate"), "x*sigmoid(x)", "SiLU", mean=0.0051, is_control=True, rank=2.7),
        _row(("relu", "relu", "max"), "max(x, 0)", "ReLU", mean=None, is_control=True, rank=4.0),
        _row(("tanh", "tanh", "max"), "tanh(x)", "tanh", mean=-0.12, search=0.82, is_dropped=True),
    ),
    reference="ReLU",
    children=CHILDREN,
    seeds=10,
    screened=64,
)
