"""After pre-training: a small task language, low-rank updates, preferences.

As built in the chapter of that name. A line of the task language is nine tokens: where it comes
from, a word of three letters, an instruction, an answer of three letters and a full stop.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.guards import check_count, check_ids, check_shape

SIGNS = "abcdefghij=<^+.~#"  # ten letters, four instructions, a stop, two origins
LETTERS, RULES, STOP, CHAT, BOOK = 10, 4, 14, 15, 16
PROMPT = 5  # tokens before the answer


def four_answers(words: Tensor) -> Tensor:
    """Return each word copied, reversed, sorted and moved on by a letter, (n, 4, 3).

    Arguments:
        words: ids of letters (n, 3), int64.
    """
    check_ids(check_shape(words, ["n", 3], "words"), LETTERS, "words")
    return torch.stack(
        [words, words.flip(1), words.sort(1).values, (words + 1) % LETTERS], 1
    )  # fmt: skip


def task_lines(words: Tensor, asked: Tensor, obeyed: Tensor, book: Tensor) -> Tensor:
    """Return lines of the task language, ids (n, 9).

    Arguments:
        words: ids of letters (n, 3), int64.
        asked, obeyed: (n,), the instruction that a line shows, and the one that its answer
            follows, 0 to 3.
        book: (n,), bool: whether the line comes from a book or from a chat.
    """
    n = len(check_shape(words, ["n", 3], "words"))
    for name, rule in (("asked", asked), ("obeyed", obeyed)):
        check_ids(check_shape(rule, [n], name), RULES, name)
    check_shape(book, [n], "book")
    origin = torch.where(book, BOOK, CHAT)
    answers = four_answers(words)[torch.arange(n, device=words.device), obeyed]
    stop = torch.full_like(asked, STOP)
    parts = origin[:, None], words, asked[:, None] + LETTERS, answers, stop[:, None]
    return torch.cat(parts, 1)


def draw_lines(words: Tensor, n: int, books: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return n lines about random words as x (n, 8), and y, what follows each token of x.

    Arguments:
        words: ids of letters (N, 3), to draw from.
        books: the share of lines from books, which follow their instruction. The others follow
            any of the four.
        g: where the random numbers come from, on the CPU.
    """
    check_ids(check_shape(words, ["N", 3], "words"), LETTERS, "words")
    N = check_count(len(words), "number of words")
    if not 0 <= books <= 1:
        raise ValueError(f"books is a share, got {books}")
    pick = torch.randint(N, (check_count(n, "n"),), generator=g)
    asked, other = torch.randint(RULES, (2, n), generator=g)
    book = torch.rand(n, generator=g) < books
    obeyed = torch.where(book, asked, other)
    pick, asked, obeyed, book = (v.to(words.device) for v in (pick, asked, obeyed, book))
    lines = task_lines(words[pick], asked, obeyed, book)
    return lines[:, :-1], lines[:, 1:]


def answer_log_probs(model: nn.Module, lines: Tensor, start: int = PROMPT) -> Tensor:
    """Return the log-probability of each line's tokens from `start` on, given those before, (n,).

    Arguments:
        model: maps ids (n, T) to scores (n, T, K) for the next tokens.
        lines: ids (n, T + 1).
        start: 1 or more, at most T.
    """
    T = check_shape(lines, ["n", "T"], "lines").shape[1] - 1
    check_count(start, "start", 1, T)
    log_p = F.log_softmax(model(lines[:, :-1]), -1)  # (n, T, K)
    told = log_p.gather(-1, lines[:, 1:, None])[..., 0]  # (n, T)
    return told[:, start - 1 :].sum(-1)


def all_words(where: torch.device | str | None = None) -> tuple[Tensor, Tensor]:
    """Return the words of three letters, 800 to learn from and 200 held out, (800, 3), (200, 3)."""
    letters = torch.arange(LETTERS)
    words = torch.cartesian_prod(letters, letters, letters)
    held = (words @ torch.tensor([1, 2, 3])) % 5 == 0
    return words[~held].to(where), words[held].to(where)


def obedient_lines(words: Tensor, book: bool = False) -> Tensor:
    """Return four lines about each word, asked and obeyed, one for each instruction, (4 n, 9)."""
    n = len(check_shape(words, ["n", 3], "words"))
    check_count(book, "book", 0, 1)
    rules = torch.arange(RULES, device=words.device).repeat(n)
    books = torch.full_like(rules, int(book)).bool()
    return task_lines(words.repeat_interleave(RULES, 0), rules, rules, books)


class LowRank(nn.Module):
    """A linear map that stays as it is, and a product of two narrow matrices beside it.

    Arguments:
        linear: an nn.Linear, W (m, d); its parameters are frozen.
        rank: of what is added, B A, with A (rank, d) and B (m, rank); 1 to the smaller of m and d.
        scale: what the product is multiplied by.

    B begins at zero, so that at first nothing changes. Called with x (..., d), it returns (..., m).
    Source: E. Hu et al. (2021), arXiv:2106.09685.
    """

    def __init__(self, linear: nn.Linear, rank: int, scale: float = 1.0):
        super().__init__()
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"not an nn.Linear: {type(linear).__name__}")
        self.linear, self.scale = linear.requires_grad_(False), scale
        W = linear.weight
        check_count(rank, "rank", 1, min(W.shape))
        A = torch.randn(rank, W.shape[1]) / W.shape[1] ** 0.5
        self.A = nn.Parameter(A.to(W))
        self.B = nn.Parameter(W.new_zeros(W.shape[0], rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.scale * (x @ self.A.T @ self.B.T)


def add_low_rank(model: nn.Module, rank: int, scale: float = 1.0) -> nn.Module:
    """Freeze a model, put a LowRank around each of its linear maps, and return it.

    Raises ValueError if there is none inside: then nothing would learn.
    """
    linears = [
        (module, name, part)
        for module in model.modules()
        for name, part in module.named_children()
        if isinstance(part, nn.Linear)
    ]
    if not linears:
        raise ValueError("the model has no nn.Linear inside")
    model.requires_grad_(False)
    for module, name, part in linears:
        setattr(module, name, LowRank(part, rank, scale))
    return model


def tilted(log_ref: Tensor, reward: Tensor, beta: float) -> Tensor:
    """Return the log-probabilities, proportional to ref exp(reward / beta), of K answers.

    They have the largest mean reward less beta times the divergence from ref.

    Arguments:
        log_ref, reward: (..., K).
        beta: positive; the larger, the nearer to ref.
    """
    check_shape(log_ref, [..., "K"], "log_ref")
    check_shape(reward, log_ref.shape, "reward")
    if not beta > 0:
        raise ValueError(f"beta is positive, got {beta}")
    return F.log_softmax(log_ref + reward / beta, -1)


def dpo_loss(
    better: Tensor, worse: Tensor, ref_better: Tensor, ref_worse: Tensor, beta: float
) -> Tensor:
    """Return the loss of direct preference optimisation, a mean over n pairs of answers.

    Arguments:
        better, worse: (n,), log-probabilities of the answer that was preferred, and of the other.
        ref_better, ref_worse: (n,), those of the reference, which stays as it is.
        beta: positive, the weight of the divergence from the reference.

    Source: R. Rafailov et al. (2023), arXiv:2305.18290.
    """
    n = len(check_shape(better, ["n"], "better"))
    for name, part in (("worse", worse), ("ref_better", ref_better), ("ref_worse", ref_worse)):
        check_shape(part, [n], name)
    if not beta > 0:
        raise ValueError(f"beta is positive, got {beta}")
    check_count(n, "number of pairs")
    return -F.logsigmoid(beta * ((better - ref_better) - (worse - ref_worse))).mean()
