from bench.drawing.looks import GREY, looks


def test_looks_differ_in_shape_among_as_many_as_there_are_shapes_and_controls_are_grey():
    names = [f"n{i}" for i in range(66)]
    found = looks([*names, "control.x"], ["control.x"])
    assert len({found[name] for name in names}) == 66
    assert len({found[name].marker for name in names[:11]}) == 11
    assert found["control.x"].colour == GREY
