"""Graphs that several threads use at once."""

import threading

from foundry_runtime.graphs import FirstAlone


def test_the_first_goes_alone_and_others_at_once_afterwards() -> None:
    first_alone = FirstAlone()
    inside, most = 0, []
    lock, both = threading.Lock(), threading.Barrier(2, timeout=10)

    def go(meet: bool) -> None:
        nonlocal inside
        with first_alone.pass_through():
            with lock:
                inside += 1
                most.append(inside)
            if meet:
                both.wait()
            else:
                threading.Event().wait(0.01)
            with lock:
                inside -= 1

    def run(meet: bool) -> None:
        threads = [threading.Thread(target=go, args=(meet,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    run(meet=False)
    assert most[0] == 1
    run(meet=True)  # neither ends before the other is there
    assert max(most) == 2


def test_what_fails_first_lets_the_next_one_try() -> None:
    first_alone = FirstAlone()
    for _ in range(2):
        try:
            with first_alone.pass_through():
                raise ValueError
        except ValueError:
            pass
    with first_alone.pass_through():
        pass
    with first_alone.pass_through(), first_alone.pass_through():  # nobody is alone any more
        pass
