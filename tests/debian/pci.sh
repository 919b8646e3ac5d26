# What is on the buses: as lspci lists it, and as the files say that it reads.
lspci -n
# Which driver a device has, and what that has switched on, is the kernel's own.
lspci -nv -s 1f.2 | grep -v '^	\(Kernel\|Capabilities\)'
cd /sys/bus/pci/devices || exit
for device in *; do
    echo "$device $(cat "$device"/{class,vendor,device,revision,subsystem_vendor,subsystem_device,modalias} | tr '\n' ' ')"
    readlink "$device"
    # The first six are its registers; a bridge's windows and the expansion ROM follow.
    head -n 6 "$device/resource"
done
