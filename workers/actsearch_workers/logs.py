"""Logs as lines of text for people, or of JSON for programs, each with the ids of what it is about."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from actsearch.errors import ConfigError

FORMATS = ("text", "json")
LOGGERS = ("actsearch", "rq.worker", "rq.job")
_IDS = ("worker", "run", "evaluation")

current: dict[str, str] = {}
"""Ids that every line of this process carries: its worker's, and those of the job at hand."""


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message; worker, run and evaluation where known."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: getattr(record, name, current.get(name)) for name in _IDS},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: value for name, value in line.items() if value is not None}, ensure_ascii=False)


def set_up(form: str, ids: Mapping[str, str]) -> None:
    """Sends this process's logs to stderr in that form; `ids` go into every line of JSON.

    Raises:
        ConfigError: no such form.
    """
    if form not in FORMATS:
        raise ConfigError(f"--log-format = {form!r}: right would be {' or '.join(FORMATS)}")
    current.update(ids)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]  # RQ adds its own only where there is none
        logger.propagate = False
        logger.setLevel(logging.INFO)
