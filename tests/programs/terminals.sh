# root: files
# tmux keeps terminals in which bash, vim, less, mc and stress of resizes run; what stands on the screen is looked at.
set -eu
d=$(mktemp -d); cd "$d"
export LANG=C.UTF-8 TERM=screen SHELL=/bin/bash
t() { tmux -S "$d/socket" "$@"; }
t -f /dev/null new-session -d -x 80 -y 24 "exec bash --norc --noprofile"
screen() { t capture-pane -p; }
wait_for() { for i in $(seq 150); do screen | grep -qF -- "$1" && return; sleep 0.1; done; echo "not on the screen: $1"; screen; exit 1; }
keys() { t send-keys "$@"; }
keys "PS1='ready\$ '; stty size; tty" Enter; wait_for '24 80'; wait_for '/dev/pts/'
# Job control: stop, background, foreground, interrupt.
keys 'sleep 1000' Enter; sleep 0.3; keys C-z; wait_for 'Stopped'
keys 'bg; jobs; kill %1; wait; echo jobs-$((40+2))' Enter; wait_for 'jobs-42'
keys 'clear; cat; echo after-$((40+2))' Enter; sleep 0.3; keys 'typed' Enter; wait_for 'typed'; keys C-d; wait_for 'after-42'
# vim: insert, save, quit.
keys "clear; vi note" Enter; wait_for '~'; keys i 'first line' Enter 'second' Escape ':wq' Enter; wait_for 'ready$'
for i in $(seq 100); do [ -s note ] && break; sleep 0.1; done
[ "$(cat note)" = "$(printf 'first line\nsecond')" ] || { cat note; exit 1; }
keys 'clear; seq 1000 | less' Enter; wait_for '23'; keys 'G'; wait_for '1000'; keys 'q'; wait_for 'ready$'
# mc: its panels, a directory made with F7, quit.
keys 'clear; mc -d -x' Enter; wait_for 'PullDn'; keys F7; wait_for 'Create a new Directory'; keys 'made' Enter
for i in $(seq 100); do [ -d made ] && break; sleep 0.1; done; [ -d made ]
keys F10; for i in $(seq 30); do screen | grep -q 'ready\$' && break; screen | grep -q 'Yes' && keys Enter; sleep 0.2; done
wait_for 'ready$'
t resize-window -x 100 -y 30; keys 'clear; for i in $(seq 50); do stty size; sleep 0.1; done | uniq' Enter; wait_for '30 100'; keys C-c
keys 'exit' Enter
for i in $(seq 100); do t has-session 2>/dev/null || break; sleep 0.1; done
! t has-session 2>/dev/null
cd /; rm -r "$d"
