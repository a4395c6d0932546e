"""The table of named data sets: their official files, what these must contain, and who serves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from pixelproof.data.download import RemoteFile
from pixelproof.data.files import AGAIN, read_cifar10, read_idx
from pixelproof.errors import CorruptFile
from pixelproof.types import Labels


@dataclass(frozen=True)
class Source:
    """A named set: `files` per part ("train", "test") as they lie in `folders[0]` under the data folder.

    The other `folders` are where torchvision or a bare unpacking leaves the same files. `archive` says that the one
    remote file is a tar of them.
    """

    name: str
    folders: tuple[str, ...]
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    sizes: Mapping[str, int]
    files: Mapping[str, tuple[str, ...]]
    read: Callable[[list[Path]], tuple[Tensor, Tensor]]
    remote: tuple[RemoteFile, ...]
    archive: bool = False

    def paths(self, folder: Path, part: str) -> list[Path]:
        """The files of a part in `folder`, each plain or gzipped; empty unless all are there."""
        found = [
            [path for path in (folder / f"{name}.gz", folder / name) if path.is_file()] for name in self.files[part]
        ]
        return [options[0] for options in found] if all(found) else []

    def load(self, folder: Path, part: str) -> tuple[UInt8[Tensor, "n c h w"], Labels]:
        """Images and labels of a part, checked: the official number, size and label range."""
        paths = self.paths(folder, part)
        pixels, labels = self.read(paths)
        who, expected = str(paths[0]), (self.sizes[part], *self.shape)
        if tuple(pixels.shape) != expected:
            raise CorruptFile(who, f"expected images of shape {expected}", tuple(pixels.shape), AGAIN)
        if len(labels) != len(pixels):
            raise CorruptFile(who, f"expected {len(pixels)} labels beside it", len(labels), AGAIN)
        if int(labels.max()) >= len(self.classes):
            expected_labels = f"expected labels 0..{len(self.classes) - 1} beside it"
            raise CorruptFile(who, expected_labels, int(labels.max()), AGAIN)
        return pixels, labels


def _read_idx_pair(paths: list[Path]) -> tuple[Tensor, Tensor]:
    images, labels = paths
    return read_idx(images, 3)[:, None], read_idx(labels, 1).long()


def _read_cifar_batches(paths: list[Path]) -> tuple[Tensor, Tensor]:
    pixels, labels = zip(*map(read_cifar10, paths), strict=True)
    return torch.cat(pixels), torch.cat(labels)


def _idx_set(name: str, other: str, *, classes: tuple[str, ...], remote: tuple[RemoteFile, ...]) -> Source:
    """A set in the four files of MNIST; `other` is torchvision's folder for it."""
    return Source(
        name=name,
        folders=(name, other),
        classes=classes,
        shape=(1, 28, 28),
        sizes={"train": 60_000, "test": 10_000},
        files={
            "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
            "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
        },
        read=_read_idx_pair,
        remote=remote,
    )


def _four(mirrors: tuple[str, ...], rows: tuple[tuple[int, str], ...]) -> tuple[RemoteFile, ...]:
    """The four files of MNIST or a set like it: size and SHA-256 of each, images before labels, training set first."""
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return tuple(
        RemoteFile(f"{name}-ubyte.gz", size, digest, mirrors) for name, (size, digest) in zip(names, rows, strict=True)
    )


# Sizes and digests as in TensorFlow Datasets' url_checksums, which agree with those of several other projects.
MNIST = _idx_set(
    "mnist",
    "MNIST/raw",
    classes=tuple("0123456789"),
    remote=_four(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://yann.lecun.com/exdb/mnist/",
        ),
        (
            (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
    ),
)
FASHION_MNIST = _idx_set(
    "fashion-mnist",
    "FashionMNIST/raw",
    classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    remote=_four(
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        (
            (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
    ),
)
CIFAR10 = Source(
    name="cifar10",
    folders=("cifar10/cifar-10-batches-bin", "cifar-10-batches-bin"),
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    shape=(3, 32, 32),
    sizes={"train": 50_000, "test": 10_000},
    files={"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)},
    read=_read_cifar_batches,
    remote=(
        RemoteFile(
            "cifar-10-binary.tar.gz",
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            (
                "https://www.cs.toronto.edu/~kriz/",
                "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
                "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",
            ),
        ),
    ),
    archive=True,
)
SOURCES = {source.name: source for source in (MNIST, FASHION_MNIST, CIFAR10)}
