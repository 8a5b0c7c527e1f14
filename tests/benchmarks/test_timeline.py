"""The picture of a run shows what was counted, and nothing else."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

from benchmarks.timeline import BUCKETS_MAX, Answer, Timeline, buckets, step
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
SECONDS = st.floats(0, 60)
ANSWERS = st.lists(st.builds(Answer, SECONDS, st.floats(0, 20), st.booleans()), max_size=60)


@given(answers=ANSWERS)
def test_every_answer_is_in_one_stretch(answers):
    end_s = max((answer.done_s for answer in answers), default=0.0) + 0.25

    found = buckets(answers, 0.25, end_s)

    assert len(found) <= BUCKETS_MAX
    assert sum(each.good for each in found) == sum(answer.ok for answer in answers)
    assert sum(each.bad for each in found) == sum(not answer.ok for answer in answers)
    assert max((each.slowest_s for each in found), default=0) == max(
        (answer.latency_s for answer in answers), default=0
    )


@given(top=st.floats(0.001, 1e6))
def test_grid_lines_are_few_and_round(top):
    distance = step(top)
    assert 1 <= top / distance <= 5.0001 or top < 0.005
    assert re.fullmatch(r"[125]0*", f"{round(distance * 1_000)}")


@given(answers=ANSWERS, words=st.text(max_size=20).filter(lambda text: text.isprintable()))
def test_it_is_svg_whatever_is_written_on_it(answers, words):
    made = Timeline(title=words, subtitle=words, answers=answers, events=[(1.0, words)], notes=[words]).svg()

    assert ET.fromstring(made).tag == "{http://www.w3.org/2000/svg}svg"


def test_the_picture_of_the_readme_says_by_which_command_it_was_made():
    texts = [each.text for each in ET.parse(ROOT / "docs" / "node-killed.svg").iter() if each.text]
    command = "python -m benchmarks.picture --rate 30 --seconds 20 --kill leader"

    assert any(command in text for text in texts)
    assert f"$ {command}\n" in (ROOT / "docs" / "operations" / "performance.md").read_text()
    assert any(": 0 failed" in text for text in texts)


def test_a_failure_is_seen_however_rare_it_is():
    answers = [Answer(0.0, 0.01, ok=True)] * 1_000 + [Answer(0.0, 0.01, ok=False)]

    made = Timeline(title="t", subtitle="s", answers=answers, events=[], notes=[]).svg()

    (height,) = re.findall(r'<rect x="64.0" [^>]*height="([\d.]+)" fill="#cf222e"/>', made)
    assert float(height) >= 2
