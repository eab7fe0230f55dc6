# The first process under QEMU, in a root in memory: mount the host's files, which QEMU gives read-only, put an overlay on
# them, and go there for good.
busybox=/bin/busybox
stop() { echo "lab: $1"; $busybox poweroff -f; }
$busybox mount -t proc proc /proc
$busybox mount -t devtmpfs dev /dev
for module in /modules/*; do $busybox insmod "$module" || stop "cannot load $module"; done
$busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose host /host || stop "no files from the host"
$busybox mount -t tmpfs memory /memory || stop "no memory for files"
$busybox mkdir /memory/upper /memory/work
$busybox mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work overlay /root || stop "no overlay"
for word in $($busybox cat /proc/cmdline); do
  case $word in lvsform.work=*) work=${word#*=} ;; esac
done
$busybox umount /proc
$busybox umount /dev
exec $busybox switch_root /root "$work/start" "$work"
