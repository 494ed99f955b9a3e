"""The chapters' one name for their bookkeeping: records, tables, verdicts and times, from the modules beside this."""

from hssl.reporting.overview import contents, counts, overview, score
from hssl.reporting.records import best, budget, chapters, claim, finish, folder, load, mode, record
from hssl.reporting.tables import plain, record_frame, table, tidy
from hssl.reporting.timings import benchmarks, machines, minutes, record_benchmark, run_time, run_times
from hssl.reporting.verdicts import verdict

__all__ = ["best", "budget", "chapters", "claim", "finish", "folder", "load", "mode", "record"]
__all__ += ["plain", "record_frame", "table", "tidy", "verdict"]
__all__ += ["benchmarks", "machines", "minutes", "record_benchmark", "run_time", "run_times"]
__all__ += ["contents", "counts", "overview", "score"]
