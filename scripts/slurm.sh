#!/usr/bin/env bash
# A throw-away Slurm on this machine, for tests and for trying a sweep with executor = "slurm": several nodes in one machine, one slurmd
# each, with a munge of its own. Nothing listens beyond loopback, nothing is shared with a Slurm that may be here.
#
#   eval "$(scripts/slurm.sh up)"     starts what does not run yet and prints what to export
#   scripts/slurm.sh down             stops it, jobs included, and removes its folder
#
# Settings, as variables of the environment:
#   SCALELAW_SLURM_DIR  folder of everything (scalelaw-slurm below TMPDIR or /tmp); two folders are two clusters
#   NODES CPUS GPUS MEM nodes, and of each: cores, GPUs (device files without a GPU behind), MiB of memory (2, 2, 0, 4000)
#   MAX_ARRAY           MaxArraySize (1001)
#   GRACE               seconds that a pre-empted job gets (10)
#   EXTRA               more lines for slurm.conf
#
# Partitions: `main`, whose jobs those in `high` pre-empt. A job that was pre-empted is requeued, or ended where it was submitted with
# --no-requeue. Debian's packages slurm-wlm and munge are installed where they are missing and this is root. Exit code 3: it cannot.
set -euo pipefail

base=${SCALELAW_SLURM_DIR:-${TMPDIR:-/tmp}/scalelaw-slurm}
mkdir -p "$base"
base=$(cd "$base" && pwd)
nodes=${NODES:-2} cpus=${CPUS:-2} gpus=${GPUS:-0} memory=${MEM:-4000}
export SLURM_CONF=$base/slurm.conf
PATH=$PATH:/usr/sbin:/sbin

say() { echo "slurm: $*" >&2; }

# Whether the process of a pid file is there, no zombie, and still the program that was started.
runs() {
    local pid state
    pid=$(cat "$1" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] || return 1
    state=$(sed -n 's/^State:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null) && [ "${state:0:1}" != Z ]
}

install_packages() {
    if command -v slurmctld slurmd sbatch munged >/dev/null; then return; fi
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "there is no Slurm here; install slurm-wlm and munge (apt-get install slurm-wlm munge)"
        exit 3
    fi
    (
        # Several tests may begin at once.
        flock 9
        if command -v slurmctld slurmd sbatch munged >/dev/null; then exit 0; fi
        say "installing slurm-wlm and munge"
        # Debian starts what it installs, with its own configuration; policy-rc.d is how to say no.
        if [ ! -e /usr/sbin/policy-rc.d ]; then
            printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
            chmod 755 /usr/sbin/policy-rc.d
            trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        fi
        export DEBIAN_FRONTEND=noninteractive
        get() { apt-get install --yes --quiet --no-install-recommends slurm-wlm munge >"$base/apt.log" 2>&1 9>&-; }
        get || { apt-get update >>"$base/apt.log" 2>&1 9>&- && get; } || { tail -n 3 "$base/apt.log" >&2; exit 3; }
    ) 9>/tmp/scalelaw-slurm-install.lock
}

# The first of $1 ports in a row that nobody listens on, from a place that depends on the folder.
free_ports() {
    local first=$((16000 + $(printf %s "$base" | cksum | cut -d' ' -f1) % 14000)) port
    while :; do
        for ((port = first; port < first + $1; port++)); do
            if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue 2; fi
        done
        echo "$first"
        return
    done
}

configure() {
    local host first gres='' device gpu
    host=$(hostname -s)
    first=$(free_ports $((nodes + 1)))
    mkdir -p "$base"/{munge,run,state,spool,log,dev}
    chmod 755 "$base" "$base/run"
    chmod 700 "$base/munge"
    (umask 077 && head -c 128 /dev/urandom >"$base/munge/key")
    : >"$base/gres.conf"
    if [ "$gpus" -gt 0 ]; then
        gres="Gres=gpu:$gpus"
        local stock=(/dev/null /dev/zero /dev/full /dev/random)
        for ((gpu = 0; gpu < gpus; gpu++)); do
            device=$base/dev/nvidia$gpu
            # Slurm wants a device file: a second /dev/null, or one that is there where none may be made.
            mknod -m 666 "$device" c 1 3 2>/dev/null || device=${stock[$gpu]}
            echo "NodeName=n[1-$nodes] Name=gpu File=$device Flags=nvidia_gpu_env" >>"$base/gres.conf"
        done
    fi
    # cred_expire: a job is not started again until its old credential has expired, two minutes by default.
    cat >"$SLURM_CONF" <<CONF
ClusterName=scalelaw-test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$first
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket=$base/run/munge.sock,cred_expire=5
CredType=cred/munge
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
StateSaveLocation=$base/state
SlurmdSpoolDir=$base/spool/%n
SlurmctldPidFile=$base/run/slurmctld.pid
SlurmdPidFile=$base/run/slurmd-%n.pid
SlurmctldLogFile=$base/log/slurmctld.log
SlurmdLogFile=$base/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SlurmdTimeout=10
InactiveLimit=0
KillWait=5
MaxArraySize=${MAX_ARRAY:-1001}
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
SlurmdParameters=config_overrides
${EXTRA:-}
NodeName=n[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((first + 1))-$((first + nodes))] CPUs=$cpus CoresPerSocket=$cpus RealMemory=$memory $gres
PartitionName=main Nodes=n[1-$nodes] Default=YES MaxTime=INFINITE DefaultTime=60 PriorityTier=1 GraceTime=${GRACE:-10}
PartitionName=high Nodes=n[1-$nodes] MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
CONF
}

up() {
    local node up=0
    install_packages
    [ -s "$SLURM_CONF" ] || configure
    # What was configured, so that a second `up` need not be told again.
    nodes=$(sed -n 's/^NodeName=n\[1-\([0-9]*\)\].*/\1/p' "$SLURM_CONF")
    runs "$base/run/munged.pid" munged || munged --force --key-file="$base/munge/key" --socket="$base/run/munge.sock" \
        --pid-file="$base/run/munged.pid" --log-file="$base/log/munged.log" --seed-file="$base/munge/seed" --num-threads=2
    runs "$base/run/slurmctld.pid" slurmctld || slurmctld -f "$SLURM_CONF"
    for ((node = 1; node <= nodes; node++)); do
        mkdir -p "$base/spool/n$node"
        runs "$base/run/slurmd-n$node.pid" slurmd || slurmd -f "$SLURM_CONF" -N "n$node"
    done
    for ((try = 0; try < 300; try++)); do
        up=$(timeout 5 sinfo --noheader --Node --partition=main --format=%T 2>/dev/null | grep -cE '^(idle|mixed|allocated)$' || true)
        [ "$up" != "$nodes" ] || break
        sleep 0.1
    done
    # The controller places nothing in its first seconds.
    if [ "$up" != "$nodes" ] || ! timeout 30 srun --quiet --ntasks=1 true; then
        say "does not come up:"
        tail -n 5 "$base"/log/*.log >&2
        exit 3
    fi
    say "$(sinfo --version): $nodes nodes in $base; scripts/slurm.sh down stops them"
    echo "export SLURM_CONF=$SLURM_CONF"
}

# All processes below those of the arguments, these included.
family() {
    local pid
    for pid; do
        echo "$pid"
        # shellcheck disable=SC2046
        family $(cat "/proc/$pid/task"/*/children 2>/dev/null)
    done
}

stop() {
    local pid
    if ! runs "$1" "$2"; then return; fi
    pid=$(cat "$1")
    kill "$pid" 2>/dev/null || true
    for ((try = 0; try < 50; try++)); do
        runs "$1" "$2" || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

down() {
    local file process
    # The daemons first, so that nothing is started behind our back.
    stop "$base/run/slurmctld.pid" slurmctld
    for file in "$base"/run/slurmd-*.pid; do stop "$file" slurmd; done
    for process in /proc/[0-9]*; do
        if [ "$(cat "$process/comm" 2>/dev/null)" = slurmstepd ] && grep -qzF "SLURM_CONF=$SLURM_CONF" "$process/environ" 2>/dev/null; then
            # shellcheck disable=SC2046
            kill -KILL $(family "${process#/proc/}") 2>/dev/null || true
        fi
    done
    stop "$base/run/munged.pid" munged
    rm -rf "$base"
}

case ${1:-} in
    up) up ;;
    down) down ;;
    *)
        say "usage: scripts/slurm.sh up|down"
        exit 2
        ;;
esac
