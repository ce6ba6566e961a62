"""One job in this process: a job as JSON on the command line, its result as the last line of standard output."""

import json
import sys


def main() -> None:
    """Run the job of the first argument, with the threads of the second where it is not 0."""
    from DynamicSegLib.benchmark.jobs import run_job
    from DynamicSegLib.threads import use_threads

    threads = int(sys.argv[2])
    if threads:
        use_threads(threads)
    print(json.dumps(run_job(json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
