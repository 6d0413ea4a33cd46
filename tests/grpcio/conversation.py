"""SPEC section 1: three channels that share no connection hold the conversation, with a watch. First by
themselves while ttrpc clients watch and read; then with ttrpc clients standing in the same election; then
with one of the three over ttrpc."""

import grpc

from stage import Node, ask, next_of, same

STEPS = [
    (0, "Enter", "c1", 't1 "c1" []'),
    (1, "Enter", "c2", 't1 "c1" ["c2"]'),
    (2, "Enter", "c3", 't1 "c1" ["c2", "c3"]'),
    (0, "Promote", "c3", 't1 "c1" ["c3", "c2"]'),
    (0, "Promote", "c3", 't2 "c3" ["c1", "c2"]'),
    (0, "Anoint", "c2", 't3 "c2" ["c3", "c1"]'),
    (1, "Withdraw", "c2", 't4 "c3" ["c1"]'),
    (0, "Evict", "c3", 't5 "c1" []'),
    (1, "Enter", "c2", 't5 "c1" ["c2"]'),
    (0, "Anoint", "c2", 't6 "c2" ["c1"]'),
]


class Distant:
    """A stock ttrpc client of the test's, with the methods of a Node that are needed here."""

    def __init__(self, number):
        self.number = number

    def create(self, election):
        ask("ttrpc", self.number, "Create", election)

    def change(self, method, election, candidate):
        return ask("ttrpc", self.number, method, election, candidate)

    def close_election(self, election):
        ask("ttrpc", self.number, "Close", election)


def converse(election, c1, c2, c3, behind=()):
    """`behind`: ttrpc clients that enter behind the three, and stay to the end."""
    ask("watch", election)
    nodes = [c1, c2, c3]
    for node in nodes:
        node.create(election)
    watch = c1.watch(election)
    # A watch is silent before the first change, so nothing tells that the server has it; this does, being
    # behind it on the connection.
    same(c1.term(election), 't0 "" []')

    seen, standing = [], []

    def event(state):
        same(next_of(watch), state)
        seen.append(state)
        # And so has a ttrpc client's watch: had it not, the next change could be merged with this one.
        same(ask("seen", election, len(seen)), "; ".join(seen), "what a ttrpc watch saw")

    for at, (by, method, candidate, state) in enumerate(STEPS):
        state = with_behind(state, standing, at)
        same(nodes[by].change(method, election, candidate), state, (method, candidate))
        event(state)
        same(c3.term(election) if isinstance(c3, Node) else state, state)
        if at == 2:
            for client, name in behind:
                standing.append(name)
                state = with_behind(STEPS[2][3], standing, at)
                same(client.change("Enter", election, name), state)
                event(state)
    # Nothing to do: no event between this and the next.
    same(c1.change("Anoint", election, "c2"), seen[-1])
    same(c3.change("Evict", election, "nobody"), seen[-1])
    c2.close_election(election)
    event(with_behind('t7 "c1" []', standing, 0))
    c1.close_election(election)
    # The closer's own watch: its last state, and then OK.
    last = f't8 "{standing[0]}" {quoted(standing[1:])}' if standing else 't7 "" []'
    event(last)
    same(next(watch, None), None)
    same(watch.code(), grpc.StatusCode.OK)
    c3.close_election(election)
    for node in nodes:
        node.create(election)
    same(c1.term(election), last)


def quoted(names):
    return "[" + ", ".join(f'"{it}"' for it in names) + "]"


def with_behind(state, standing, at):
    """The table's state with those who entered after c3 and stay where they are. c2 came back behind."""
    if not standing:
        return state
    head, list_ = state[: state.index("[")], state[state.index("[") + 1 : -1]
    names = [it.strip('"') for it in list_.split(", ") if it]
    if at == 8:
        return head + quoted([*names[:-1], *standing, names[-1]])
    return head + quoted([*names, *standing])


def main():
    nodes = [Node() for _ in range(3)]
    converse("alone", *nodes)
    converse("together", *nodes, behind=[(Distant(0), "t1"), (Distant(1), "t2")])
    converse("mixed", nodes[0], Distant(0), nodes[2])
    converse("mixed-more", Node(), Node(), Distant(1), behind=[(Distant(2), "t3")])


main()
