#!/bin/bash
# One task of a batch of scalelaw: batch.sh FOLDER, as a job array whose index is the number of the task.
#
# FOLDER/N says what to do, as words that end with a zero byte, so that no quoting is needed: the log, the directory to start
# in (empty: where this starts), the lock to hold (empty: the program takes it), NAME=VALUE for each variable, an empty word, then the program and its arguments. What is printed before the program begins goes to FOLDER/slurm.txt.
number=$SLURM_ARRAY_TASK_ID
task=$1/$number
for try in {1..30}; do
    # What was just written elsewhere may be seen late on a network file system.
    [ -r "$task" ] && break
    sleep 1
done
if [ ! -r "$task" ]; then
    echo "task $number on $(hostname): cannot read $task; does this node see the folder of the runs?" >&2
    exit 78
fi
# At most once, whoever starts it again: a job that was requeued would train what a later attempt trains.
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] || ! mkdir "$task.started"; then
    echo "task $number on $(hostname): was started before, and is not started again" >&2
    exit 75
fi
# A trainer that finds them would take itself for one of several processes under srun.
for name in ${!SLURM_*} ${!PMI_*} ${!PMIX_*}; do
    [ "$name" = SLURM_JOB_ID ] || unset "$name"
done
{
    IFS= read -r -d '' log
    IFS= read -r -d '' directory
    IFS= read -r -d '' lock
    while IFS= read -r -d '' word && [ -n "$word" ]; do export "${word?}"; done
    command=()
    while IFS= read -r -d '' word; do command+=("$word"); done
} <"$task"
if ! cd "${directory:-.}"; then
    echo "task $number on $(hostname): cannot enter $directory; does this node see the folder of the sweep file?" >&2
    exit 78
fi
exec </dev/null
if [ -n "$lock" ]; then
    # As its standard input, so that it is held until the last process ends that has inherited it: an earlier attempt may still
    # work on a node that Slurm has lost.
    exec <>"$lock" || exit 78
    if command -v flock >/dev/null && ! flock -w 10 0; then
        echo "task $number on $(hostname): an earlier attempt still works on this run" >&2
        exit 75
    fi
fi
# In place of this shell, which is where Slurm sends the signal before the time limit.
exec "${command[@]}" >>"$log" 2>&1
