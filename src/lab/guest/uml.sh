# The first process under User-Mode Linux. Its root is the host's, and all that holds is the user the kernel runs as:
# so put an overlay on it, in memory, and go there for good.
work=${0%/*}
stop() { echo "lab: $1"; $busybox poweroff -f; }
release=$($busybox uname -r)
$busybox insmod "/usr/lib/uml/modules/$release/kernel/fs/overlayfs/overlay.ko" || stop "no overlay module for kernel $release"
$busybox mount -t tmpfs tmpfs /run || stop "no memory for files"
$busybox mkdir /run/upper /run/work /run/root
$busybox mount -t overlay -o lowerdir=/,upperdir=/run/upper,workdir=/run/work overlay /run/root || stop "no overlay"
cd /run/root || stop "no overlay"
$busybox pivot_root . mnt || stop "cannot enter the overlay"
exec $busybox chroot . "$work/start" "$work"
