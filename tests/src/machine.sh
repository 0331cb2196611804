# The first process of a machine of tests: $1 is where its files are, $2 its address, $3 that of its
# cluster's API server, $4 and $5 a service's name and address. None of the mounts and links is seen
# outside, and all are gone with the last process.
set -eu
# Mounts that a container passes on reach the machine, as on a real node.
mount --make-rprivate /
mount --make-rshared /
mount -t tmpfs none /run
for folder in lib log; do
    mkdir -p "$1/$folder"
    mount --bind "$1/$folder" "/var/$folder"
done
printf '127.0.0.1 localhost\n%s node-1\n%s %s\n' "$2" "$5" "$4" > "$1/hosts"
mount --bind "$1/hosts" /etc/hosts
ip link set lo up
# A kubelet takes no loopback address for its node's.
ip link add node0 type veth peer name node1
ip address add "$2/24" dev node0
ip address add "$3/32" dev lo
ip link set node0 up
ip link set node1 up
ip route add default dev node0
echo 1 > /proc/sys/net/ipv4/ip_forward
touch "$1/up"
# It collects whoever loses his parent, until it is killed.
sleep infinity &
wait
