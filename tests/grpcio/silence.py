"""A client that says nothing keeps its place, however long: the library answers the server's pings. And a
server that was stopped does not take its own silence for its clients'."""

import sys
import time

from stage import Node, ask, same

silence = float(sys.argv[2])
leader, other = Node(), Node()
same(leader.change("Enter", "quiet", "a"), 't1 "a" []')
time.sleep(4 * silence)
same(other.term("quiet"), 't1 "a" []', "after a long silence")
ask("pause", 3 * silence)
time.sleep(2 * silence)
same(other.term("quiet"), 't1 "a" []', "after the server was stopped")
# It is the same session: this is no change, and no other connection took it over.
same(leader.change("Enter", "quiet", "a"), 't1 "a" []')
