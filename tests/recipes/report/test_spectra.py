from compress.factorize.stage import Factorize
from recipes.report.spectra import rank_pairs, spectra
from tests.compress.distill.stub import stub_context, trained


def matrix(role="query", block=0, rank=4, of=16, energy=0.9):
    values = [1.0, 0.5, 0.25, 0.125, 0.1]
    return {"role": role, "block": block, "rank": rank, "of": of, "kept_energy": energy, "singular_values": values}


def test_each_role_has_a_picture_with_a_line_and_a_bar_for_each_layer() -> None:
    facts = {"spectra": [matrix(), matrix(block=1, rank=None), matrix("words", None, 128, 768)]}
    query, words = spectra(facts)
    assert query.svg.count("<polyline") == 2 and query.svg.count("<circle") == 1
    assert "layer 0 4 of 16; layer 1 whole" in query.svg and "table 128 of 768" in words.svg
    assert query.svg.count('class="kept"') == 1 and query.svg.count('class="cut"') == 1
    assert query.part.startswith("singular values of query")


def test_ranks_in_words() -> None:
    listed = [matrix(), matrix(block=1, rank=7, energy=0.805), matrix(block=2, rank=None, energy=1.0)]
    assert rank_pairs({"spectra": listed}) == [
        ("rank of query", "4 to 7 of 16, 1 whole; at least 80.5 % of the energy"),
    ]
    assert rank_pairs({"spectra": [matrix(rank=None)]})[0][1].startswith("whole")


def test_the_curve_falls_from_the_top_to_the_right() -> None:
    (drawn,) = spectra({"spectra": [matrix()]})
    points = drawn.svg.split('points="')[1].split('"')[0].split()
    places = [tuple(map(float, point.split(","))) for point in points]
    assert places == sorted(places) and places[0] == (4.0, 4.0) and places[-1][0] == 176.0


def test_other_facts_draw_nothing_and_names_are_escaped() -> None:
    assert spectra({}) == spectra({"spectra": "none"}) == spectra({"spectra": [{"role": "up"}, 3]}) == []
    assert "<script>" not in spectra({"spectra": [matrix("<script>")]})[0].svg


def test_what_the_stage_notes_is_what_is_drawn() -> None:
    ctx = stub_context()
    bundle = trained()
    for settings in ({"what": "linears", "rank": {"ratio": 0.5}}, {"what": "embeddings", "rank": 6}):
        bundle = Factorize.model_validate({**settings, "recover": "none"}).run(bundle, ctx)
        drawn, words = spectra(ctx.facts), dict(rank_pairs(ctx.facts))
        if settings["what"] == "linears":
            assert len(drawn) == 6 and all(picture.svg.count("<polyline") == 4 for picture in drawn)
            assert words["rank of query"].startswith("8 of 32; at least")
    assert len(drawn) == 1 and words["rank of words"].startswith("6 of 32; at least")
