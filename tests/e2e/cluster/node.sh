#!/bin/sh
# The first process of a node: `unshare --mount --net --pid ... sh node.sh NAME DIRECTORY`. Makes the node's own view of the
# machine, then reaps. When it is killed, the kernel kills all that runs in the node and takes its mounts and interfaces.
set -eu
name=$1
cd -- "$2"
hostname "$name"
# What others on this machine have mounted is theirs to unmount: a copy in here would keep their loop devices busy.
while read -r device place _; do
    case $device in /dev/loop*) umount -l "$(printf %b "$place")" ;; esac
done </proc/self/mounts
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
# As systemd has it on a real node: what a driver's pod mounts below kubelet's directory must reach the other pods.
mount --make-rshared /

# Below these the node makes what it likes and the machine stays as it was. Relative, for a folder with any name: an
# overlay's options cannot hold every character.
mkdir -p upper
mount -t tmpfs -o mode=755 node upper
for directory in lib log; do
    mkdir -p "upper/$directory" "upper/$directory.work"
    mount -t overlay -o "lowerdir=/var/$directory,upperdir=upper/$directory,workdir=upper/$directory.work" node "/var/$directory"
done
# These hold much, or what may not lie on an overlay or in memory: images, volumes, pools.
for directory in containerd kubelet holdall; do
    mkdir -p "$directory" "/var/lib/$directory"
    mount --bind "$directory" "/var/lib/$directory"
done
mkdir -p srv
mount --bind srv /srv
mount -t tmpfs -o mode=755 node /run
mkdir -p /run/lock /run/udev /run/sysfs
# A network namespace has one sysfs, which is for all what its first mount was. Here that would be some container's, read-only,
# and privileged pods on the host's network would find /sys read-only too.
mount -t sysfs sysfs /run/sysfs
: >/run/node-ready

trap : TERM INT HUP
while :; do
    sleep 3600 &
    wait || :
done
