"""`module:function`: a data set that the user's own code returns as arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np

from actsearch.errors import ConfigError
from actsearch_workers.data.splits import Dataset, Split
from actsearch_workers.user_code import call_users

_PARTS = ("train", "validation", "test")


def user_dataset(name: str, function: Callable[[], Any]) -> Dataset:
    """The data set of a function's ((train_x, train_y), (val_x, val_y), (test_x, test_y)).

    Images are uint8 ``(n, channels, height, width)``, labels integers ``(n,)`` from 0. That no image stands in two
    parts is the user's affair: nothing in the arrays says where a row came from.

    Raises:
        ConfigError: what came back is something else.
    """
    answer = call_users("dataset", name, function)
    try:
        pairs = [(np.asarray(images), np.asarray(labels)) for images, labels in answer]
    except (TypeError, ValueError) as err:
        raise ConfigError(f"dataset {name!r} returns three (images, labels) pairs, got something else: {err}") from err
    if len(pairs) != len(_PARTS):
        raise ConfigError(f"dataset {name!r} returns three (images, labels) pairs, got {len(pairs)}")
    for part, (_, labels) in zip(_PARTS, pairs, strict=True):
        if labels.ndim != 1 or len(labels) == 0 or not np.issubdtype(labels.dtype, np.integer):
            raise ConfigError(f"dataset {name!r}, {part}: labels are integers (n,), got {labels.dtype} {labels.shape}")
    starts = np.cumsum([0, *(len(labels) for _, labels in pairs)])
    splits = [
        Split(images, labels.astype(np.int64), start + np.arange(len(labels)))
        for (images, labels), start in zip(pairs, starts[:-1], strict=True)
    ]
    return Dataset(name, max(int(split.labels.max()) for split in splits) + 1, *splits)
