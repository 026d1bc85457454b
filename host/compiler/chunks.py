"""How many input groups a CONV takes: by what of their weights fits the weight buffer."""

from __future__ import annotations

from collections.abc import Iterator

from host.compiler.memory import aligned
from host.compiler.problem import Problem
from hw.contract.isa import Mode
from hw.contract.weights.listed import MOST_GROUPS


def chunk_sizes(problem: Problem) -> Iterator[int]:
    """Numbers of input groups of one CONV: the fewest chunks whose weights fit half the buffer, and a few more.

    Half, so that the weights of the next chunk are read while one is computed; more, if the blocks of a single group
    are more than half, or if all weights fit at once.  Smaller chunks start earlier, since a CONV waits for all of
    its weights, and leave less of a ring unused, but each is an instruction of its own: twice, four and eight times the
    fewest, and a chunk a group, are tried.
    """
    total = problem.range_groups
    if problem.outputs.mode == Mode.DEPTHWISE:
        yield least_groups(problem)
        return
    most = _most(problem)
    unit = problem.outputs.unit
    fewest = -(-total // most)
    seen = set()
    for count in (*range(fewest, fewest + 3), 2 * fewest, 4 * fewest, 8 * fewest, total):
        chunk = aligned(-(-total // count), unit)
        if count > total or chunk in seen or chunk > aligned(most, unit):
            continue
        if problem.outputs.listed and problem.piece_beats(chunk) > problem.outputs.listed_room:
            continue
        seen.add(chunk)
        yield chunk


def least_groups(problem: Problem) -> int:
    """Fewest input groups of a CONV: depthwise all, since a pass's place among those of its CONV is the plane that it
    adds to."""
    if problem.outputs.mode == Mode.DEPTHWISE:
        return 1 if problem.outputs.shared else problem.range_groups
    return min(problem.outputs.unit, problem.range_groups)


def _most(problem: Problem) -> int:
    """Most input groups of a CONV, where all weights are not in the buffer at once."""
    if problem.weight_beats(problem.range_groups) <= problem.weight_depth and (
        not problem.outputs.listed or problem.range_groups <= MOST_GROUPS
    ):
        return problem.range_groups
    return _listed_half(problem) if problem.outputs.listed else half_of_buffer(problem)


def half_of_buffer(problem: Problem) -> int:
    """Input groups whose weights fit half the buffer; if there is none, the whole."""
    depth, head = problem.weight_depth, problem.outputs.head_beats
    return max(0, depth // 2 - head) // problem.block_beats or (depth - head) // problem.block_beats


def _listed_half(problem: Problem) -> int:
    """The same of listed blocks: how many beats groups have is a matter of which they need, so of fewer it can be
    more."""
    numbers = range(aligned(min(problem.range_groups, MOST_GROUPS), problem.outputs.unit), 0, -problem.outputs.unit)
    room = problem.outputs.listed_room
    rooms = (min(problem.weight_depth // 2, room), room)
    return next((groups for most in rooms for groups in numbers if problem.piece_beats(groups) <= most), 1)


def chunks_of_blocks(problem: Problem) -> Iterator[int]:
    """Numbers of input groups of one CONV of a block: the larger the fewer CONVs, the smaller the more may stay."""
    most, chunk = half_of_buffer(problem), problem.outputs.unit
    while chunk < problem.range_groups and chunk <= most:
        yield chunk
        chunk *= 2


def chunks_that_stay(problem: Problem, chunk: int) -> Iterator[int]:
    """Sizes of a first chunk that stays, behind which there are whole chunks."""
    sizes, most = range(problem.range_groups - chunk, 0, -chunk), half_of_buffer(problem)
    return (stay for stay in sizes if stay <= most and stay % problem.outputs.unit == 0)


def most_weight_beats(problem: Problem) -> int:
    """Most beats that all weights can have with what lies ahead of them, however they are cut, of a layer that others
    run with band by band: each CONV may load a codebook again."""
    again = problem.outputs.head_beats - problem.config.derived.parameter_beats
    again *= problem.outputs.count * (problem.range_groups - 1)
    if not problem.outputs.listed:
        return again + problem.weight_beats(1)
    return again + max(map(problem.weight_beats, chunk_sizes(problem)))
