from pathlib import Path

import pytest

from bench.base import registry
from bench.base.errors import BadInput, NothingAsked, UnknownId
from bench.cli import runs
from bench.cli.main import build_parser
from bench.runs.sweep.grid import SweepGrid, read

RECIPE = Path(__file__).parents[4] / "scripts" / "recipes" / "sweep.toml"
SMALL = {"tasks": ["icbhi.cycles2"], "encoder": [{"id": "mfcc.stats"}]}


def test_the_recipe_is_a_grid_of_every_layer():
    grid = SweepGrid.of(read(RECIPE))
    assert grid.tasks == ("icbhi.cycles4", "sprsound.events2") and grid.optional == frozenset(grid.tasks)
    layers = registry.encoder_card("efficientat.mn04").layers
    assert grid.encoders[0].layers == tuple(range(-layers, 0)) and grid.encoders[1].layers == (-1,)
    assert grid.seeds_of("linear") == (0, 1, 2)


def test_the_authors_own_embedding_has_no_layers_and_is_taken_once():
    grid = SweepGrid.of(
        SMALL | {"encoder": [{"id": "efficientat.mn04", "poolings": ["published", "mean"], "layers": [-1, -2]}]}
    )
    card = registry.encoder_card("efficientat.mn04")
    assert grid.encoders[0].requested(card) == [(card.pool_layer, "published"), (-1, "mean"), (-2, "mean")]


def test_seeds_are_the_protocols_own_unless_named():
    grid = SweepGrid.of(SMALL | {"protocols": ["linear", "literature/opera"]})
    assert grid.seeds_of("linear") == (0,) and grid.seeds_of("literature/opera") == (0, 1, 2, 3, 4)
    assert SweepGrid.of(SMALL | {"seeds": [3]}).seeds_of("literature/opera") == (3,)


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"sedes": [1]}, UnknownId, "seeds"),
        ({"seeds": 5}, BadInput, "whole numbers"),
        ({"seeds": [True]}, BadInput, "whole numbers"),
        ({"layers": "every"}, BadInput, '"all"'),
        ({"controls": "no"}, BadInput, "true or false"),
        ({"encoder": [{"id": "mfcc.stats", "pooling": ["mean"]}]}, UnknownId, "poolings"),
        ({"encoder": [{"id": "mfcc.stats", "poolings": ["meen"]}]}, UnknownId, "mean"),
        ({"encoder": [{"id": "mfcc.stats", "layers": [-9]}]}, UnknownId, "layer"),
        ({"encoder": [{"id": "mfcc.stat"}]}, UnknownId, "mfcc.stats"),
        ({"encoder": ["mfcc.stats"]}, BadInput, "[[encoder]]"),
        ({"encoder": [{"id": "efficientat.mn04", "layers": "all", "weights": "x"}]}, BadInput, "numbers"),
        ({"encoder": []}, NothingAsked, "encoders"),
        ({"tasks": []}, NothingAsked, "tasks"),
        ({"tasks": ["icbhi.cycle2"]}, UnknownId, "icbhi.cycles2"),
        ({"suite": "quik"}, UnknownId, "quick"),
        ({"protocols": ["lineer"]}, UnknownId, "linear"),
        ({"protocols": ["control"]}, UnknownId, "linear"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(change, error, named):
    with pytest.raises(error) as raised:
        SweepGrid.of(SMALL | change)
    assert named in str(raised.value)


def test_a_file_that_is_not_there_or_not_toml_is_named(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path / "grid.toml")
    (tmp_path / "grid.toml").write_text("tasks = [")
    with pytest.raises(BadInput, match="is not TOML"):
        read(tmp_path / "grid.toml")
    (tmp_path / "grid.toml").write_text("task = []")
    with pytest.raises(UnknownId, match="'tasks'"):
        read(tmp_path / "grid.toml")


def test_flags_go_before_the_file():
    words = [
        "sweep",
        str(RECIPE),
        "--task",
        "icbhi.cycles2",
        "--seeds",
        "7",
        "--layers",
        "-1",
        "-2",
        "--out",
        "elsewhere",
    ]
    settings = runs.merged(build_parser().parse_args(words))
    assert settings["tasks"] == ["icbhi.cycles2"] and "suite" not in settings
    assert (settings["seeds"], settings["layers"], settings["out"]) == ([7], [-1, -2], "elsewhere")
    assert settings["controls"] is True and settings["encoder"][0]["id"] == "efficientat.mn04"
    flags = ["sweep", "--task", "icbhi.cycles2", "--encoder", "mfcc.stats:mean,[mean,std]", "--layers", "all"]
    settings = runs.merged(build_parser().parse_args(flags))
    assert settings["encoder"] == [{"id": "mfcc.stats", "poolings": ["mean", "[mean,std]"]}]
    assert SweepGrid.of(settings).encoders[0].layers == (-1,)


def test_the_recipe_of_the_committed_sweep_is_a_grid():
    grid = SweepGrid.of(read(RECIPE.with_name("results.toml")))
    assert len(grid.tasks) == 6 and grid.encoders[0].id == "efficientat.mn04"
