#!/bin/sh
# The first way in: the include path and C++20. No build system, no flags.
#   build.sh <compiler> <moesaic's folder> <program to write>
exec "$1" -std=c++20 -I "$2/include" "$(dirname "$0")/../consumer.cpp" -o "$3"
