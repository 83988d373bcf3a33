"""Schedules of other programs as task files: crontabs, APScheduler's jobs, Celery beat's entries, Kubernetes CronJobs.

Each module reads one form and returns `Imported`: tasks, with a note for each thing that cannot be the same, and what
was left out, with its reason. Every schedule is read by our own parser before it is written. Pure: nothing of a file is
run, and no pickle is opened.
"""
