"""Downloads from a local server that fails in every way a mirror can fail."""

import dataclasses
import gzip
import hashlib
import http.server
import io
import socket
import struct
import tarfile
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from pixelproof import data
from pixelproof.data import download as downloading
from pixelproof.data import loading, sources
from pixelproof.data.download import RemoteFile, download
from pixelproof.errors import BadInput, CorruptFile, DataUnavailable, UnknownName

CONTENT = np.random.default_rng(0).bytes(300_000)


@dataclass
class Mirror:
    """What a server serves and how it misbehaves; `asked` logs each request's path and Range header."""

    files: dict[str, bytes]
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes of body sent by the first, second, ... request
    says_length: bool = True
    status: int = 200
    shift: int = 0  # how far off the part it sends is
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


class Handler(http.server.BaseHTTPRequestHandler):
    mirror: Mirror

    def do_GET(self):
        mirror, wanted = self.mirror, self.headers.get("Range")
        mirror.asked.append((self.path, wanted))
        content = mirror.files.get(self.path[1:])
        if content is None or mirror.status != 200:
            self.send_error(404 if content is None else mirror.status)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and mirror.ranges else 0
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start + mirror.shift}-{len(content) - 1}/{len(content)}")
        if mirror.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: mirror.cuts.pop(0)] if mirror.cuts else body)

    def log_message(self, *args):
        """Keep the test output clean."""


@pytest.fixture
def serve(monkeypatch):
    """Starts servers for mirrors and stops them at the end."""
    monkeypatch.setenv("no_proxy", "*")
    running = []

    def start(mirror):
        handler = type("ThisHandler", (Handler,), {"mirror": mirror})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        mirror.url = f"http://127.0.0.1:{server.server_port}/"
        return mirror

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def down():
    """The address of a server that is not there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}/"


def remote(*mirrors, content=CONTENT, name="set.bin"):
    urls = tuple(mirror.url if isinstance(mirror, Mirror) else mirror for mirror in mirrors)
    return RemoteFile(name, len(content), hashlib.sha256(content).hexdigest(), urls)


def good(serve, **settings):
    return serve(Mirror({"set.bin": CONTENT}, **settings))


def test_a_file_arrives_whole_with_progress_and_leaves_no_partial_file(serve, tmp_path):
    steps = []
    path = download(remote(good(serve)), tmp_path / "new" / "folder", lambda *step: steps.append(step))
    assert path == tmp_path / "new" / "folder" / "set.bin"
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["set.bin"]
    assert steps[0] == (0, len(CONTENT))
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert steps == sorted(steps)


@pytest.mark.parametrize(
    "broken",
    [
        Mirror({}),
        Mirror({"set.bin": CONTENT}, status=503),
        Mirror({"set.bin": b"<html>log in to the network</html>"}),
        Mirror({"set.bin": CONTENT + b"more"}),
        Mirror({"set.bin": CONTENT[:-1] + b"x"}),
        Mirror({"set.bin": b"<html>no length</html>"}, says_length=False),
    ],
    ids=["404", "503", "captive portal", "too long", "wrong hash", "short without length"],
)
def test_the_next_mirror_is_asked_when_one_fails(serve, tmp_path, broken):
    second = good(serve)
    path = download(remote(serve(dataclasses.replace(broken, asked=[])), second), tmp_path)
    assert path.read_bytes() == CONTENT
    assert len(second.asked) == (2 if not broken.says_length else 1)
    assert not (tmp_path / "set.bin.part").exists()


def test_the_next_mirror_is_asked_when_one_is_down_or_silent(serve, tmp_path, down, monkeypatch):
    monkeypatch.setattr(downloading, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert download(remote(down, address, good(serve)), tmp_path).read_bytes() == CONTENT
        with pytest.raises(DataUnavailable, match=r"127\.0\.0\.1: .*[Rr]efused; 127\.0\.0\.1: .*timed out"):
            download(remote(down, address, name="other.bin"), tmp_path)


def test_a_truncated_body_is_continued_where_it_stopped(serve, tmp_path):
    mirror = good(serve, cuts=[100_000, 50_000])
    assert download(remote(mirror), tmp_path).read_bytes() == CONTENT
    assert [part for _, part in mirror.asked] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_mirror_that_makes_no_headway_is_left_and_its_bytes_are_kept_for_the_next(serve, tmp_path):
    first, second = good(serve, cuts=[100_000, 0]), good(serve)
    assert download(remote(first, second), tmp_path).read_bytes() == CONTENT
    assert [part for _, part in second.asked] == ["bytes=100000-"]


def test_an_interrupted_download_is_resumed_by_the_next_call(serve, tmp_path):
    mirror = good(serve)

    def interrupt(done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(remote(mirror), tmp_path, interrupt)
    assert not (tmp_path / "set.bin").exists()
    kept = (tmp_path / "set.bin.part").stat().st_size
    assert kept > len(CONTENT) / 2
    steps = []
    assert download(remote(mirror), tmp_path, lambda *step: steps.append(step)).read_bytes() == CONTENT
    assert mirror.asked[1][1] == f"bytes={kept}-"
    assert steps[0] == (kept, len(CONTENT))


def test_a_server_without_ranges_sends_the_file_from_its_start(serve, tmp_path):
    (tmp_path / "set.bin.part").write_bytes(CONTENT[:1000])
    mirror = good(serve, ranges=False)
    assert download(remote(mirror), tmp_path).read_bytes() == CONTENT
    assert [part for _, part in mirror.asked] == ["bytes=1000-"]


def test_a_server_that_always_cuts_and_knows_no_ranges_is_left(serve, tmp_path):
    mirror = good(serve, ranges=False, cuts=[1000] * 9)
    with pytest.raises(DataUnavailable, match="sent 1,000 of 300,000 bytes"):
        download(remote(mirror), tmp_path)
    assert len(mirror.asked) == 2


def test_a_server_that_sends_another_part_is_left(serve, tmp_path):
    (tmp_path / "set.bin.part").write_bytes(CONTENT[:1000])
    with pytest.raises(DataUnavailable, match="sent another part"):
        download(remote(good(serve, shift=5)), tmp_path)
    assert (tmp_path / "set.bin.part").read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)])
def test_a_bad_partial_file_does_not_spoil_a_good_mirror(serve, tmp_path, left):
    (tmp_path / "set.bin.part").write_bytes(left)
    assert download(remote(good(serve)), tmp_path).read_bytes() == CONTENT


def test_a_whole_partial_file_needs_no_network(tmp_path, down):
    (tmp_path / "set.bin.part").write_bytes(CONTENT)
    assert download(remote(down), tmp_path).read_bytes() == CONTENT


def test_a_file_with_the_wrong_hash_is_never_kept(serve, tmp_path):
    wrong = serve(Mirror({"set.bin": CONTENT[::-1]}))
    with pytest.raises(DataUnavailable, match=r"set\.bin: no mirror delivered it; got 127\.0\.0\.1: wrong SHA-256\."):
        download(remote(wrong), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cutting_mirror_with_wrong_bytes_is_left_after_two_rounds(serve, tmp_path):
    (tmp_path / "set.bin.part").write_bytes(b"x" * 10)
    wrong = serve(Mirror({"set.bin": CONTENT[::-1]}, cuts=[10_000, 300_000, 10_000, 300_000, 10_000]))
    with pytest.raises(DataUnavailable, match="wrong SHA-256"):
        download(remote(wrong), tmp_path)
    assert len(wrong.asked) == 4


def test_a_folder_that_cannot_be_made_is_named(serve, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match=r"file/folder: expected a writable folder; got Not a directory"):
        download(remote(good(serve)), tmp_path / "file" / "folder")


def idx(array):
    return gzip.compress(bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def digits_files():
    """A tiny set in MNIST's layout: 100 training and 20 test images."""
    random, files = np.random.default_rng(1), {}
    for stem, n in (("train", 100), ("t10k", 20)):
        files[f"{stem}-images-idx3-ubyte.gz"] = idx(random.integers(0, 256, (n, 28, 28), np.uint8))
        files[f"{stem}-labels-idx1-ubyte.gz"] = idx((np.arange(n) % 10).astype(np.uint8))
    return files


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Puts a tiny set with given mirrors in the place of a named one; nothing is found on this machine."""
    monkeypatch.setenv("PIXELPROOF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PIXELPROOF_DATA", raising=False)
    monkeypatch.setattr(loading, "VAL_SIZE", 20)

    def replace(name, files, *mirrors):
        source = dataclasses.replace(
            sources.SOURCES[name],
            sizes={"train": 100, "test": 20},
            remote=tuple(remote(*mirrors, content=content, name=file) for file, content in files.items()),
        )
        monkeypatch.setitem(sources.SOURCES, name, source)
        return source

    return replace


def test_load_fetches_what_is_missing_once(serve, tiny, tmp_path):
    files = digits_files()
    mirror = serve(Mirror(files))
    tiny("mnist", files, mirror)
    assert len(data.load("mnist", "train")) == 80
    assert len(data.load("mnist", "test")) == 20
    assert sorted(path for path, _ in mirror.asked) == sorted(f"/{name}" for name in files)
    assert sorted(path.name for path in (tmp_path / "cache" / "datasets" / "mnist").iterdir()) == sorted(files)


def test_fetch_counts_bytes_over_all_files_and_skips_those_that_are_there(serve, tiny, tmp_path):
    files = digits_files()
    tiny("mnist", files, serve(Mirror(files)))
    total, steps = sum(map(len, files.values())), []
    here = tmp_path / "here" / "mnist"
    here.mkdir(parents=True)
    first = next(iter(files))
    (here / first).write_bytes(files[first])
    assert data.fetch("mnist", tmp_path / "here", progress=lambda *step: steps.append(step)) == here
    assert steps[0] == (len(files[first]), total)
    assert steps[-1] == (total, total)
    assert steps == sorted(steps)
    assert data.fetch("mnist", tmp_path / "here", progress=lambda *step: pytest.fail("fetched again")) == here


def test_downloads_go_to_the_root_then_the_data_folder_then_the_cache(serve, tiny, tmp_path, monkeypatch):
    files = digits_files()
    tiny("mnist", files, serve(Mirror(files)))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="expected a writable folder"):
        data.fetch("mnist", tmp_path / "file" / "root")
    assert data.fetch("mnist") == tmp_path / "cache" / "datasets" / "mnist"
    monkeypatch.setenv("PIXELPROOF_CACHE", str(tmp_path / "other"))
    monkeypatch.setenv("PIXELPROOF_DATA", str(tmp_path / "data"))
    assert data.fetch("mnist") == tmp_path / "data" / "mnist"
    assert data.fetch("mnist", tmp_path / "root") == tmp_path / "data" / "mnist"


def test_a_read_only_data_folder_is_passed_over(serve, tiny, tmp_path, monkeypatch):
    files = digits_files()
    tiny("mnist", files, serve(Mirror(files)))
    monkeypatch.setenv("PIXELPROOF_DATA", "/proc/pixelproof")
    monkeypatch.setattr("os.access", lambda path, mode: str(path) != "/proc")
    assert data.fetch("mnist") == tmp_path / "cache" / "datasets" / "mnist"


def test_offline_one_error_says_which_file_to_put_where(tiny, down, tmp_path):
    source = tiny("fashion-mnist", digits_files(), down)
    with pytest.raises(DataUnavailable) as caught:
        data.load("fashion-mnist", root=tmp_path / "mine")
    message = str(caught.value)
    assert message.startswith(
        "fashion-mnist: not on disk, and train-images-idx3-ubyte.gz: no mirror delivered it; got "
    )
    names = ", ".join(file.name for file in source.remote)
    assert message.endswith(f"Put {names} from {down} into {tmp_path / 'mine' / 'fashion-mnist'}.")
    assert "\n" not in message


def test_the_files_may_be_put_there_by_hand_recompressed_or_unzipped(tiny, down, tmp_path):
    tiny("mnist", digits_files(), down)
    folder = tmp_path / "mine" / "mnist"
    folder.mkdir(parents=True)
    for number, (name, content) in enumerate(digits_files().items()):
        plain = gzip.decompress(content)
        if number % 2:
            (folder / name).write_bytes(gzip.compress(plain, 1))
        else:
            (folder / name.removesuffix(".gz")).write_bytes(plain)
    assert len(data.load("mnist", "val", tmp_path / "mine")) == 20


def cifar_archive(folder="cifar-10-batches-bin"):
    """The six files of CIFAR-10 with 20 records each, as a tar.gz."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for number, name in enumerate([*(f"data_batch_{batch}.bin" for batch in range(1, 6)), "test_batch.bin"]):
            records = np.random.default_rng(number).integers(0, 256, (20, 3073), np.uint8)
            records[:, 0] = np.arange(20) % 10
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = records.size
            tar.addfile(info, io.BytesIO(records.tobytes()))
    return {"cifar-10-binary.tar.gz": packed.getvalue()}


def test_the_cifar_archive_is_unpacked_and_removed(serve, tiny, tmp_path):
    files = cifar_archive()
    mirror = serve(Mirror(files))
    tiny("cifar10", files, mirror)
    train = data.load("cifar10", "train+val", tmp_path)
    assert train.class_counts() == dict.fromkeys(train.classes, 10)
    assert len(data.load("cifar10", "val", tmp_path)) == 20
    assert [path.name for path in (tmp_path / "cifar10").iterdir()] == ["cifar-10-batches-bin"]
    assert len(mirror.asked) == 1


def test_an_archive_put_there_by_hand_is_unpacked_if_it_is_the_official_one(tiny, down, tmp_path):
    files = cifar_archive()
    tiny("cifar10", files, down)
    archive = tmp_path / "cifar10" / "cifar-10-binary.tar.gz"
    archive.parent.mkdir()
    archive.write_bytes(b"something else")
    with pytest.raises(CorruptFile, match=r"cifar-10-binary\.tar\.gz: expected the SHA-256"):
        data.load("cifar10", "test", tmp_path)
    archive.write_bytes(files[archive.name])
    assert len(data.load("cifar10", "test", tmp_path)) == 20


@pytest.mark.parametrize("folder", ["../outside", "another-folder"])
def test_an_archive_with_other_files_changes_nothing_outside(serve, tiny, tmp_path, folder):
    files = cifar_archive(folder)
    tiny("cifar10", files, serve(Mirror(files)))
    with pytest.raises(CorruptFile, match="expected an archive with cifar-10-batches-bin/"):
        data.fetch("cifar10", tmp_path / "root")
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left == [tmp_path / "root" / "cifar10" / "cifar-10-binary.tar.gz"]


def test_only_named_sets_can_be_fetched():
    with pytest.raises(UnknownName, match=r"data set to fetch; got 'fashon-mnist'\. Did you mean 'fashion-mnist'"):
        data.fetch("fashon-mnist")
    with pytest.raises(BadInput, match=r"digits: needs no download\. It comes with scikit-learn"):
        data.fetch("digits")


def test_every_remote_file_has_a_digest_a_size_and_several_mirrors():
    files = [file for source in sources.SOURCES.values() for file in source.remote]
    assert len(files) == 9
    for file in files:
        assert len(bytes.fromhex(file.sha256)) == 32
        assert file.size > 4000
        assert len({mirror.split("/")[2] for mirror in file.mirrors}) >= 3
        assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in file.mirrors)
