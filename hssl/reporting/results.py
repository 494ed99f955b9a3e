"""The chapters' one name for their bookkeeping: records, tables, verdicts and times, from the modules beside this."""

from hssl.reporting.records import best, budget, chapters, claim, finish, load, mode, record
from hssl.reporting.tables import plain, record_frame, score, table, tidy
from hssl.reporting.timings import benchmarks, minutes, record_benchmark, run_time, run_times
from hssl.reporting.verdicts import verdict

__all__ = ["best", "budget", "chapters", "claim", "finish", "load", "mode", "record"]
__all__ += ["plain", "record_frame", "score", "table", "tidy", "verdict"]
__all__ += ["benchmarks", "minutes", "record_benchmark", "run_time", "run_times"]
