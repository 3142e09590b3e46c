import pytest

from bench.reports.names import rank_class, row_name
from bench.types import ALL_LAYERS


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"encoder": "fbank.stats"}, "frozen"),
        ({"encoder": "meta.duration"}, "control"),
        ({"encoder": "random.efficientat.mn04"}, "control"),
        ({"encoder": "control.majority"}, "control"),
        ({"protocol": "literature/opera"}, "literature"),
        ({"kind": "finetune", "protocol": "finetune"}, "finetune"),
        ({"kind": "finetune", "protocol": "literature/x"}, "literature finetune"),
        ({"kind": "finetune", "encoder": "random.x.y"}, "control"),
    ],
)
def test_controls_finetuning_and_literature_protocols_have_classes_of_their_own(spec, expected):
    assert rank_class({"encoder": "fbank.stats", "protocol": "linear", "kind": "frozen"} | spec) == expected


def test_a_row_names_the_layers_that_were_read():
    assert row_name("x.y", -1) == "x.y"
    assert row_name("x.y", ALL_LAYERS) == "x.y all layers"
