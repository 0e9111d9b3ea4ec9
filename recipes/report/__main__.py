"""`python -m recipes.report DIR ...`: draw the views again from report.json."""

from __future__ import annotations

import sys
from pathlib import Path

from compress.core.errors import InputError
from recipes.report import terminal, write
from recipes.report.comparing.run_files import read_run


def main(arguments: list[str]) -> int:
    """Draw each run directory's report; 2 where one has none that can be read."""
    missing = [name for name in arguments if not (Path(name) / "report.json").is_file()]
    if missing or not arguments:
        wrong = f"no report.json in: {', '.join(missing)}" if missing else "usage: python -m recipes.report DIR ..."
        print(wrong, file=sys.stderr)
        return 2
    try:
        for name in arguments:
            report = read_run(Path(name))
            write(report, Path(name))
            terminal.show(report)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
