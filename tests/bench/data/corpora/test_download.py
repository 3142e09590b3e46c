import numpy as np
import pytest

from bench.base.errors import CheckpointError
from bench.data.corpora import download
from bench.data.corpora.download import PIECE, Resumable
from webserver import serving

CONTENT = np.random.default_rng(0).bytes(3_000_000)
HALF = 90 * PIECE


@pytest.fixture
def web():
    with serving() as running:
        yield running


@pytest.fixture
def target(tmp_path):
    return tmp_path / "net.pt"


def _only(target):
    return [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_file_comes_whole_and_leaves_nothing_beside_it(web, target):
    Resumable()(web.put("net.pt", CONTENT), target)
    assert target.read_bytes() == CONTENT and _only(target)


def test_a_broken_connection_goes_on_where_it_was(web, target):
    url = web.put("net.pt", CONTENT, breaks=[HALF, PIECE])
    Resumable()(url, target)
    assert target.read_bytes() == CONTENT and _only(target)
    assert web.ranges() == [None, f"bytes={HALF}-", f"bytes={HALF + PIECE}-"]
    assert web.sent == len(CONTENT)
    assert web.asked[1][1]["if-range"] == '"1"'


def _interrupted(web, target, **how):
    """The address of a file of which half has come in, in a call that failed."""
    url = web.put("net.pt", CONTENT, breaks=[HALF, 0], **how)
    with pytest.raises(CheckpointError, match=f"after {HALF} bytes, which are kept"):
        Resumable()(url, target)
    assert not target.exists()
    web.asked.clear()
    return url


def test_an_interrupted_download_resumes_in_a_later_call(web, target):
    url = _interrupted(web, target)
    Resumable()(url, target)
    assert target.read_bytes() == CONTENT and _only(target)
    assert web.ranges() == [f"bytes={HALF}-"] and web.sent == len(CONTENT)


def test_a_file_that_changed_meanwhile_starts_afresh(web, target):
    url = _interrupted(web, target)
    other = CONTENT[::-1]
    web.put("net.pt", other, headers={"ETag": '"2"'})
    Resumable()(url, target)
    assert target.read_bytes() == other and len(web.asked) == 1


@pytest.mark.parametrize("change", [{"headers": {"ETag": '"2"'}}, {"longer": True}])
def test_the_rest_of_another_file_is_not_appended(web, target, change):
    """A server that sends a part whatever ``If-Range`` says."""
    url = _interrupted(web, target)
    other = CONTENT[::-1] + bytes(1 if change.pop("longer", False) else 0)
    web.put("net.pt", other, heeds_if_range=False, **change)
    Resumable()(url, target)
    assert target.read_bytes() == other
    assert web.ranges() == [f"bytes={HALF}-", None]


def test_a_server_without_ranges_starts_from_the_beginning(web, target):
    url = web.put("net.pt", CONTENT, breaks=[HALF, HALF], ranges=False)
    with pytest.raises(CheckpointError, match=f"the connection broke off after {HALF} bytes"):
        Resumable()(url, target)
    Resumable()(url, target)
    assert target.read_bytes() == CONTENT and _only(target)


def test_a_part_that_nothing_identifies_is_not_continued(web, target):
    url = web.put("net.pt", CONTENT, breaks=[HALF, HALF], headers={})
    with pytest.raises(CheckpointError):
        Resumable()(url, target)
    Resumable()(url, target)
    assert target.read_bytes() == CONTENT and web.ranges() == [None] * 3


def test_a_weak_etag_gives_way_to_the_date(web, target):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    url = _interrupted(web, target, headers={"ETag": 'W/"1"', "Last-Modified": date})
    Resumable()(url, target)
    assert target.read_bytes() == CONTENT and web.asked[0][1]["if-range"] == date


def test_a_part_that_is_whole_already_needs_no_request(web, target, monkeypatch):
    url = web.put("net.pt", CONTENT)
    with monkeypatch.context() as killed:
        killed.setattr(download.Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Resumable()(url, target)
    Resumable()(url, target)
    assert target.read_bytes() == CONTENT and len(web.asked) == 1 and _only(target)


def test_a_range_beyond_the_end_starts_afresh(web, target):
    url = _interrupted(web, target)
    web.put("net.pt", CONTENT[:1000])
    Resumable()(url, target)
    assert target.read_bytes() == CONTENT[:1000]


def test_a_length_that_is_not_announced_is_no_obstacle(web, target):
    Resumable()(web.put("net.pt", CONTENT, announces=False), target)
    assert target.read_bytes() == CONTENT


def test_attempts_end(web, target):
    url = web.put("net.pt", CONTENT, breaks=[PIECE] * 50)
    with pytest.raises(CheckpointError, match="bytes"):
        Resumable()(url, target)
    assert len(web.asked) == download.ATTEMPTS


@pytest.mark.parametrize(("status", "told"), [(404, "HTTP 404 Not Found"), (503, "HTTP 503"), (401, "HTTP 401")])
def test_a_refusal_is_told(web, target, status, told):
    with pytest.raises(CheckpointError, match=told):
        Resumable()(web.put("net.pt", b"", status=status), target)


def test_an_address_that_does_not_answer_is_told(target):
    with pytest.raises(CheckpointError, match=r"127\.0\.0\.1:1"):
        Resumable()("http://127.0.0.1:1/net.pt", target)


def test_the_hub_alone_gets_the_token_and_its_refusal_says_how_to_get_in(web, target, monkeypatch):
    url = web.put("org/net/resolve/main/net.pt", CONTENT)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    Resumable()(url, target)
    monkeypatch.setenv("HF_ENDPOINT", web.address)
    Resumable()(url, target)
    assert [headers.get("authorization") for _, headers in web.asked] == [None, "Bearer hf_secret"]
    web.pages["org/net/resolve/main/net.pt"].status = 403
    with pytest.raises(
        CheckpointError, match=rf"accept the terms at {web.address}/org/net and put .* HF_TOKEN"
    ) as error:
        Resumable()(url, target)
    assert "hf_secret" not in str(error.value)


def test_progress_counts_megabytes_from_where_it_resumes(web, target):
    url = _interrupted(web, target)
    seen = []

    class Bar:
        def __init__(self, label, total):
            seen.append((label, total))

        def __enter__(self):
            return seen.append

        def __exit__(self, *_):
            pass

    Resumable(Bar)(url, target)
    assert seen[0] == ("net.pt (MB)", 3)
    assert seen[1] == 1 and sum(seen[1:]) == 3
