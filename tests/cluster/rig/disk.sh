#!/bin/sh
# A driver of disks that really grow, for the kubelet, which still asks FlexVolume drivers to let a file system grow: so
# nobody else's code is needed. A disk is a file system in memory, because to let one of another kind grow needs more
# rights than a test has. Its options are `disk`, a name, and `size`; it lasts, whoever mounts it, as long as the cluster.
option() { printf %s "$1" | sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p"; }
there() {
  mountpoint --quiet "$1" && return
  mkdir -p "$1" && mount -t tmpfs -o "size=$2" disk "$1"
}
act() {
  disks=$(dirname "$0")/../../disks
  case $1 in
    mount) disk=$disks/$(option "$3" disk); there "$disk" "$(option "$3" size)" && mount --bind "$disk" "$2" ;;
    unmount) umount "$2" ;;
    expandfs) mount -o "remount,size=$5" "$disks/$(option "$2" disk)" ;;
  esac
}
case $1 in
  init) echo '{"status":"Success","capabilities":{"attach":false}}' ;;
  mount | unmount | expandfs)
    if act "$@" > /dev/null 2>&1; then echo '{"status":"Success"}'; else echo '{"status":"Failure"}'; fi ;;
  *) echo '{"status":"Not supported"}' ;;
esac
