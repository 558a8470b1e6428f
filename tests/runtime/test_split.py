"""How a model is divided: what is refused before anything starts, and who gets which layers, cores and parts."""

import pytest

from tuner.runtime.pipeline_parallel import parts_of, stages
from tuner.runtime.split import Split, pipeline_refusal, tensor_refusal


def test_a_model_is_divided_in_one_way():
    with pytest.raises(ValueError, match="tensor 2 and pipeline 2: a model is divided in one way"):
        Split(tensor=2, pipeline=2)
    assert Split.of({"threads": 1, "pipeline": 3}).ranks == 3 and Split.of({}).ranks == 1


def test_ranks_have_cores_of_their_own_where_there_are_enough():
    split = Split(tensor=2, cores=(4, 5, 6, 7))
    assert [split.cores_of(rank, 2) for rank in (0, 1)] == [(4, 5), (6, 7)]
    assert split.cores_of(1, 3) == ()  # six threads on four cores: the system's business


def test_heads_or_neurons_must_come_out_even():
    assert (
        tensor_refusal(2, 12, 1536) == ""
        and tensor_refusal(2, 3, 1536) == ""
        and tensor_refusal(2, 4, 65) == ""
    )
    assert "neither the 3 heads nor the 65 FFN neurons" in tensor_refusal(2, 3, 65)
    assert pipeline_refusal(2, 2) == "" and "more than the model's 1 layers" in pipeline_refusal(2, 1)


@pytest.mark.parametrize(
    ("layers", "head", "degree", "found"),
    [
        (6, 0, 2, [range(0, 3), range(3, 6)]),
        (5, 0, 2, [range(0, 2), range(2, 5)]),
        (4, 0, 4, [range(0, 1), range(1, 2), range(2, 3), range(3, 4)]),
        (30, 8, 2, [range(0, 19), range(19, 30)]),  # the head is as much as eight layers
        (2, 100, 2, [range(0, 1), range(1, 2)]),  # each has one layer at least
        (3, 100, 3, [range(0, 1), range(1, 2), range(2, 3)]),
    ],
)
def test_stages_have_about_as_much_to_do(layers, head, degree, found):
    assert stages([1] * layers, head, degree) == found


def test_a_batch_is_cut_into_equal_parts():
    assert [parts_of(batch, 2) for batch in (1, 2, 7, 8, 9, 12, 32)] == [1, 2, 7, 8, 3, 6, 8]
