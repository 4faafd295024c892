"""Reading a directory into an image."""

from __future__ import annotations

import os
import stat
from dataclasses import replace

import pytest

from harness.core.trace import Blindness, Image, InodeKind, Node, empty_image
from harness.crash.materialize import Materializer
from harness.record import Recorder, same_image, scan


def test_scan_reads_everything(root):
    (root / "d").mkdir(mode=0o700)
    (root / "d" / "f").write_bytes(b"abc")
    (root / "d" / "f").chmod(0o640)
    os.utime(root / "d" / "f", ns=(1, 2))
    (root / "s").symlink_to("nowhere")
    os.link(root / "d" / "f", root / "twin")
    image = scan(root)
    assert sorted(image.paths()) == ["d", "d/f", "s", "twin"]
    paths = image.paths()
    assert paths["twin"] == paths["d/f"]
    assert image.nodes[paths["d/f"]] == Node(InodeKind.FILE, mode=0o640, mtime_ns=2, content=b"abc")
    assert image.nodes[paths["s"]].target == "nowhere"
    assert image.nodes[paths["d"]].mode == 0o700
    assert image.nodes[0].mode == stat.S_IMODE(root.stat().st_mode)


def test_an_empty_directory_is_the_empty_image(root):
    assert same_image(scan(root), empty_image()) is None


def test_what_holds_no_data_is_left_out(root):
    os.mkfifo(root / "p")
    assert scan(root).paths() == {}


def test_numbers_depend_on_names_only(root, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for directory, names in ((root, "abc"), (other, "cab")):
        for name in names:
            (directory / name).mkdir()
            (directory / name / "f").write_text(name)
    assert scan(root).paths() == scan(other).paths()


def test_large_files_are_read_whole(root):
    content = os.urandom(3 << 20)
    (root / "f").write_bytes(content)
    image = scan(root)
    assert image.nodes[image.paths()["f"]].content == content


def test_a_missing_directory_is_an_error(root):
    with pytest.raises(FileNotFoundError):
        scan(root / "missing")


def test_an_image_is_a_value(root):
    assert isinstance(scan(root), Image)


def attributes(image):
    return {path: image.nodes[number].attributes for path, number in image.paths().items()}


def test_extended_attributes_of_files_are_read_and_put_back(root, tmp_path):
    (root / "f").write_bytes(b"abc")
    (root / "g").write_bytes(b"abc")
    os.setxattr(root / "f", "user.b", b"2")
    os.setxattr(root / "f", "user.a", b"1")
    image = scan(root)
    held = {"f": (("user.a", b"1"), ("user.b", b"2")), "g": ()}
    assert attributes(image) == held

    other = tmp_path / "other"
    other.mkdir()
    materializer = Materializer(other)
    materializer.place(image)
    assert attributes(scan(other)) == held
    os.setxattr(other / "g", "user.a", b"9")
    os.removexattr(other / "f", "user.b")
    materializer.place(image)
    assert attributes(scan(other)) == held
    materializer.place(Image({number: replace(node, attributes=()) for number, node in image.nodes.items()}))
    assert attributes(scan(other)) == {"f": (), "g": ()}


def test_attributes_that_were_there_before_a_recording_are_noticed(root):
    (root / "f").write_bytes(b"abc")
    os.setxattr(root / "f", "user.a", b"1")
    recorder = Recorder(root)
    recorder.start()
    assert [unseen.what for unseen in recorder.finish(()).unseen] == [Blindness.EXTENDED_ATTRIBUTES]
