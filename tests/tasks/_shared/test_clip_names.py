import math

from hypothesis import given
from hypothesis import strategies as st

from tasks._shared import clip_names

SECONDS = st.floats(0, 1e5) | st.integers(0, 50_000).map(lambda tenths: tenths / 1e4)


def test_names_are_to_the_millisecond():
    assert clip_names.of("a.wav", 0.0, math.nan) == "a.wav"
    assert clip_names.of("a.wav", 0.5, math.nan) == "a.wav#0.500-"
    assert clip_names.of("a.wav", 0.50049, 1.25) == "a.wav#0.500-1.250"


@given(st.lists(st.tuples(SECONDS, SECONDS | st.just(math.nan)), max_size=20))
def test_clips_of_other_bounds_have_other_names_and_no_more_are_changed_than_need_be(bounds):
    clips = [
        {"clip_id": clip_names.of("a", start, end), "path": "a", "start_s": start, "end_s": end}
        for start, end in bounds
    ]
    before = [clip["clip_id"] for clip in clips]
    clip_names.tell_apart(clips)
    by_name = {clip["clip_id"]: (clip["start_s"], str(clip["end_s"])) for clip in clips}
    assert len(by_name) == len({(start, str(end)) for start, end in bounds})
    for old, clip in zip(before, clips):
        alone = len({(c["start_s"], str(c["end_s"])) for name, c in zip(before, clips) if name == old}) == 1
        assert clip["clip_id"] == old or not alone
