"""The benchmarks by name. They are strings, so that nothing is imported before one is run."""

#: Every benchmark by its name on the command line. A new benchmark is one file and one line here.
BENCHMARKS: dict[str, str] = {
    "charged": "hlieconv.benchmarks.charged:BENCHMARK",
    "hnn": "hlieconv.benchmarks.hnn:BENCHMARK",
    "laws": "hlieconv.benchmarks.laws:BENCHMARK",
    "m3rg": "hlieconv.benchmarks.m3rg:BENCHMARK",
    "springs-from-few": "hlieconv.benchmarks.springs_from_few:BENCHMARK",
    "srnn": "hlieconv.benchmarks.srnn:BENCHMARK",
}
