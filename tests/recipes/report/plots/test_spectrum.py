from compress.core.stage.exhibit import Cut, Spectrum
from compress.factorize.stage import Factorize
from recipes.report.plots.spectrum import cut_pair, spectrum
from tests.compress.distill.stub import stub_context, trained


def cut(name="layer 0", at=4, of=16, kept=0.9):
    return Cut(name=name, values=(1.0, 0.5, 0.25, 0.125, 0.1), at=at, of=of, kept=kept)


def shown(*lines, title="query"):
    return Spectrum(title=title, lines=lines)


def test_a_line_and_a_bar_for_each_layer() -> None:
    query = spectrum(shown(cut(), cut("layer 1", None)))
    assert query.svg.count("<polyline") == 2 and query.svg.count("<circle") == 1
    assert "layer 0 4 of 16; layer 1 whole" in query.svg
    assert query.svg.count('class="kept"') == 1 and query.svg.count('class="cut"') == 1
    assert query.caption.startswith("Singular values of query") and query.caption.endswith("are the ranks.")


def test_ranks_in_words() -> None:
    listed = [cut(), cut("layer 1", 7, kept=0.805), cut("layer 2", None, kept=1.0)]
    assert cut_pair(shown(*listed)) == ("rank of query", "4 to 7 of 16, 1 whole; at least 80.5 % of the energy")
    assert cut_pair(shown(cut(at=None)))[1].startswith("whole")


def test_the_curve_falls_from_the_top_to_the_right() -> None:
    points = spectrum(shown(cut())).svg.split('points="')[1].split('"')[0].split()
    places = [tuple(map(float, point.split(","))) for point in points]
    assert places == sorted(places) and places[0] == (4.0, 4.0) and places[-1][0] == 176.0


def test_names_are_escaped() -> None:
    assert "<script>" not in spectrum(shown(cut("<script>"), title="<script>")).svg


def test_what_the_stage_shows_is_what_is_drawn() -> None:
    bundle = trained()
    for settings, lines in (({"what": "linears", "rank": {"ratio": 0.5}}, 4), ({"what": "embeddings", "rank": 6}, 1)):
        ctx = stub_context()
        bundle = Factorize.model_validate({**settings, "recover": "none"}).run(bundle, ctx)
        words = dict(map(cut_pair, ctx.exhibits))
        assert all(spectrum(one).svg.count("<polyline") == lines for one in ctx.exhibits)
        if settings["what"] == "linears":
            assert len(ctx.exhibits) == 6 and words["rank of query"].startswith("8 of 32; at least")
    assert len(ctx.exhibits) == 1 and words["rank of words"].startswith("6 of 32; at least")
