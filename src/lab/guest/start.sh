# The guest's first process in its own root, an overlay in memory over the host's files.
# Set above: modules, busybox, mount_results. Its argument is the working folder.
work=$1 here=/run/lvsform-guest
stop() { echo "lab: $1"; $busybox poweroff -f; }
$busybox umount -l /mnt 2>/dev/null
$busybox mount -t proc proc /proc
$busybox mount -t sysfs sys /sys
$busybox mount -t devtmpfs dev /dev
$busybox mount -t tmpfs -o mode=755 run /run
release=$($busybox uname -r)
$busybox mkdir -p /dev/pts /dev/shm "/lib/modules/$release" $here
$busybox mount -t devpts pts /dev/pts
$busybox ln -sf /proc/self/fd /dev/fd
$busybox ln -sf /proc/self/fd/0 /dev/stdin
$busybox ln -sf /proc/self/fd/1 /dev/stdout
$busybox ln -sf /proc/self/fd/2 /dev/stderr
$busybox mount --bind "$modules/$release" "/lib/modules/$release" || stop "no modules for kernel $release"
$busybox ls /root >/dev/null 2>&1 || $busybox mount -t tmpfs root /root
$busybox ip link set lo up
mount_results $here || stop "no folder for the results"

# The command writes to pipes, as it would anywhere; what comes out of them goes to the host at once.
$busybox mkfifo /run/out /run/err
$busybox cat </run/out >>$here/stdout & out=$!
$busybox cat </run/err >>$here/stderr & err=$!
/usr/bin/xargs -0 -x -a "$work/command" /bin/sh -c '"$@"; echo $? >/run/exit' command </dev/null >/run/out 2>/run/err
# What the command left running may hold the pipes open: it had its time.
{ $busybox sleep 5; $busybox kill $out $err; } 2>/dev/null &
wait $out $err
$busybox rm /run/out /run/err
$busybox cat /run/exit >>$here/exit
$busybox poweroff -f
