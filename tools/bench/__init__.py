"""``make bench``: rates and latencies of the real driver, side by side with another one when PEER names its program.

Every figure is the median of interleaved rounds, so that a busy machine slows both sides alike. Results go to
out/bench/bench.json and, as a table, to the terminal and out/bench/bench.md.
"""
