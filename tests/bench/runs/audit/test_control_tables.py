import numpy as np
import pandas as pd

from bench.runs.audit import control_tables

N = 60


def frame(**columns):
    """Sixty clips of thirty patients, the last twenty in the test."""
    rows = pd.DataFrame({"clip_id": [f"c{i:02d}" for i in range(N)], "path": [f"x/{i}.wav" for i in range(N)]})
    rows = rows.assign(start_s=0.0, end_s=1.0, label=0, split=["train"] * 40 + ["test"] * 20, domain="one")
    return rows.assign(group=[f"p{i // 2:02d}" for i in range(N)], available=True).assign(**columns)


def named(rows, **given):
    return {table.name: table for table in control_tables.control_tables(rows, {}, {}, **given)}


def test_words_need_three_training_groups():
    words = ["common"] * 30 + ["rare"] * 4 + ["own"] * 6 + ["common"] * 10 + ["unseen"] * 10
    table = named(frame(meta_word=words))["word"]
    np.testing.assert_array_equal(table.features.sum(axis=0), [40, 6])  # common; own, of three groups
    assert table.value is None and not table.features[50:].any()


def test_numbers_keep_their_value_and_gain_a_twentieth():
    rows = frame(meta_age=[*map(str, range(55)), *([""] * 5)])
    table = named(rows)["age"]
    np.testing.assert_array_equal(table.features[:3, 0], [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(table.features[40:, 0][-5:], 19.5)  # the training median
    assert np.isnan(table.value[-1]) and table.features.shape[1] == 1 + 20
    np.testing.assert_array_equal(table.features[:, 1:].sum(axis=1), 1.0)


def test_dates_are_days():
    table = named(frame(meta_date=["20200413", "2020-04-14"] * 30))["date"]
    np.testing.assert_array_equal(np.unique(np.diff(table.value)), [-1.0, 1.0])


def test_a_file_name_is_its_parts():
    rows = frame(path=[f"a/{'62-12' if i % 2 else str(1000 + i)}_x{i}.wav" for i in range(N)])
    made = named(rows)
    assert made["file_prefix"].features.shape[1] == 1
    parts = made["file_name"].features
    assert any((column == (np.arange(N) % 2)).all() for column in parts.T)
    assert parts.shape[1] > 10  # the running number's twentieths
    assert set(made) >= {"file_part_1", "file_part_2"} and made["file_part_2"].source == "file name"
    assert sum(made[f"file_part_{i}"].features.shape[1] for i in (1, 2, 3)) == parts.shape[1]


def test_parts_of_the_name_that_a_column_tells_already_are_left_out():
    side = ["left" if i % 4 < 2 else "right" for i in range(N)]
    rows = frame(path=[f"a/{i % 5}_{side[i]}.wav" for i in range(N)], meta_side=side)
    assert "file_part_1" in named(rows) and "file_part_2" not in named(rows)


def test_domain_takes_the_name_of_what_it_is():
    rows = frame(domain=["a", "b"] * 30)
    assert "recruitment_channel" in named(rows, domain="recruitment channel")
    assert named(rows, domain="device")["device"].features.shape[1] == 2


def test_what_does_not_vary_has_no_column():
    assert named(frame())["device"].features.shape == (N, 0)
    assert named(frame())["duration"].features.shape == (N, 1)
    assert "duration" not in named(frame(end_s=np.nan))


def test_position_where_recordings_hold_several_clips():
    starts = [float(i % 3) for i in range(N)]
    rows = frame(path=[f"{i // 3}.wav" for i in range(N)], start_s=starts, end_s=[start + 1 for start in starts])
    assert named(rows)["position"].features.shape[1] > 1 and "position" not in named(frame())
