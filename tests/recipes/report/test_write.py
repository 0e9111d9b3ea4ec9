import subprocess
import sys
from pathlib import Path

from recipes.record import Report
from recipes.report import write
from recipes.report.__main__ import main
from tests.recipes.report.sample import quickstart


def test_both_views_stand_beside_the_report(tmp_path: Path) -> None:
    write(quickstart(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md"]


def test_redrawing_gives_the_same_page(tmp_path: Path, capsys) -> None:
    report = quickstart()
    report.write(tmp_path)
    write(Report.read(tmp_path), tmp_path)
    before = (tmp_path / "report.html").read_text()
    assert main([str(tmp_path)]) == 0
    assert (tmp_path / "report.html").read_text() == before
    assert "openvino" in capsys.readouterr().out


def test_a_directory_without_a_report_is_refused(tmp_path: Path, capsys) -> None:
    assert main([str(tmp_path)]) == 2
    assert "no report.json" in capsys.readouterr().err


def test_drawing_needs_no_torch(tmp_path: Path) -> None:
    quickstart().write(tmp_path)
    code = (
        "import sys; from recipes.report.__main__ import main;"
        f"main([{str(tmp_path)!r}]); sys.exit(3 if 'torch' in sys.modules else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
