# moesaic as a subproject: where it takes Kokkos from, what it says then, and that it leaves its parent alone.
# Configures only; touches no network.
cmake_minimum_required(VERSION 3.25.1)
file(REMOVE_RECURSE ${WORK})

# The parent makes a target of its own if asked, and prints what it has after moesaic.
file(WRITE ${WORK}/parent/CMakeLists.txt [[
cmake_minimum_required(VERSION 3.25.1)
project(parent LANGUAGES CXX)
if(NOT BUILDS_KOKKOS)  # what happens to be installed here is not what is tested
  foreach(where CMAKE_SYSTEM_PATH CMAKE_ENVIRONMENT_PATH SYSTEM_ENVIRONMENT_PATH PACKAGE_REGISTRY SYSTEM_PACKAGE_REGISTRY)
    set(CMAKE_FIND_USE_${where} OFF)
  endforeach()
endif()
if(PARENT_HAS_KOKKOS)
  add_library(parents_kokkos INTERFACE)
  add_library(Kokkos::kokkos ALIAS parents_kokkos)
endif()
add_subdirectory(${MOESAIC} moesaic)
foreach(component moesaic cpu kokkos)
  foreach(property COMPILE_OPTIONS COMPILE_DEFINITIONS COMPILE_FEATURES LINK_OPTIONS)
    get_target_property(value moesaic_${component} INTERFACE_${property})
    message(STATUS "${component} ${property}: ${value}")
  endforeach()
endforeach()
get_property(tests DIRECTORY ${MOESAIC} PROPERTY SUBDIRECTORIES)
message(STATUS "subfolders:${tests}.")
message(STATUS "build type:${CMAKE_BUILD_TYPE}.")
file(WRITE ${CMAKE_BINARY_DIR}/use.cpp "int main() {}\n")
add_executable(use use.cpp)
target_link_libraries(use PRIVATE moesaic::kokkos)
]])
file(WRITE ${WORK}/source/CMakeLists.txt "add_library(kokkos INTERFACE)\nadd_library(Kokkos::kokkos ALIAS kokkos)\n")
foreach(version 3.4.01 4.4.01 4.7.00 5.2.2 6.0.0)
  set(folder ${WORK}/installed/${version}/lib/cmake/Kokkos)
  file(WRITE ${folder}/KokkosConfig.cmake "add_library(Kokkos::kokkos INTERFACE IMPORTED)\n")
  include(CMakePackageConfigHelpers)
  write_basic_package_version_file(${folder}/KokkosConfigVersion.cmake VERSION ${version} COMPATIBILITY AnyNewerVersion ARCH_INDEPENDENT)
endforeach()

# expect(<name> <fails or works> [ARGS <-D...>...] SAYS <text>...): the texts appear in the output, in any order.
function(expect name outcome)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "ARGS;SAYS")
  string(TIMESTAMP begin %s)
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${WORK}/parent -B ${WORK}/${name} -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
      -DMOESAIC=${MOESAIC} -DMOESAIC_KOKKOS=ON ${arg_ARGS}
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  string(TIMESTAMP end %s)
  math(EXPR seconds "${end} - ${begin}")
  if(result EQUAL 0)
    set(came "works")
  else()
    set(came "fails")
  endif()
  set(wrong "")
  if(NOT came STREQUAL outcome)
    set(wrong "\nit ${came}")
  endif()
  string(REGEX REPLACE "[ \n]+" " " flat "${output}")  # CMake wraps its errors
  foreach(text IN LISTS arg_SAYS)
    string(REGEX REPLACE "[ \n]+" " " text "${text}")
    string(FIND "${flat}" "${text}" at)
    if(at EQUAL -1)
      string(APPEND wrong "\nit does not say '${text}'")
    endif()
  endforeach()
  if(wrong)
    message(SEND_ERROR "${name}: ${wrong}\nit says:\n${output}")
  endif()
  message(STATUS "${name}: ${came}, ${seconds} s")
endfunction()

set(parent_alone SAYS "moesaic COMPILE_OPTIONS: value-NOTFOUND" "moesaic COMPILE_DEFINITIONS: value-NOTFOUND" "moesaic COMPILE_FEATURES: cxx_std_20"
  "moesaic LINK_OPTIONS: value-NOTFOUND" "cpu COMPILE_OPTIONS: value-NOTFOUND" "kokkos COMPILE_OPTIONS: value-NOTFOUND" "subfolders:." "build type:.")

expect(parents_target works ARGS -DPARENT_HAS_KOKKOS=ON -DFETCHCONTENT_SOURCE_DIR_KOKKOS=${WORK}/source
  ${parent_alone} "moesaic: Kokkos is the parent project's target Kokkos::kokkos")

expect(source_tree works ARGS -DFETCHCONTENT_SOURCE_DIR_KOKKOS=${WORK}/source -DKokkos_ROOT=${WORK}/installed/4.7.00
  SAYS "moesaic: Kokkos is the source tree FETCHCONTENT_SOURCE_DIR_KOKKOS=${WORK}/source")
expect(source_tree_wrong fails ARGS -DFETCHCONTENT_SOURCE_DIR_KOKKOS=${WORK}/nowhere
  SAYS "FETCHCONTENT_SOURCE_DIR_KOKKOS=${WORK}/nowhere has no CMakeLists.txt")

foreach(version 4.7.00 5.2.2)
  expect(installed_${version} works ARGS -DKokkos_ROOT=${WORK}/installed/${version}
    SAYS "moesaic: Kokkos ${version} is installed in ${WORK}/installed/${version}/lib/cmake/Kokkos (tested with 4.7.00; 4.5 to 5.x expected)")
endforeach()
foreach(version 3.4.01 4.4.01 6.0.0)  # the first is what Trilinos brings
  expect(installed_${version} fails ARGS -DKokkos_ROOT=${WORK}/installed/${version}
    SAYS "moesaic: no Kokkos. Tried, in this order:" "1. a target Kokkos::kokkos of the parent project: there is none"
      "2. a source tree: FETCHCONTENT_SOURCE_DIR_KOKKOS is not set" "passed over version ${version} in" "4., 5. downloads: MOESAIC_FETCH is OFF"
      "-DMOESAIC_KOKKOS=OFF" "-DKokkos_ROOT=DIR")
endforeach()

# From here on downloads are allowed, but there is no network: connections to port 9 are refused, and pip may look into one folder only.
foreach(variable http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy)
  set(ENV{${variable}} http://127.0.0.1:9)
endforeach()
set(ENV{no_proxy})
set(ENV{NO_PROXY})
set(ENV{PIP_CONFIG_FILE} /dev/null)
set(ENV{PIP_NO_INDEX} 1)
set(ENV{PIP_FIND_LINKS} ${WORK}/index)
file(MAKE_DIRECTORY ${WORK}/index)
set(fetch ARGS -DMOESAIC_FETCH=ON -DMOESAIC_DOWNLOAD_DIR=${WORK}/downloads)
set(no_kokkos SAYS "moesaic: no Kokkos. Tried, in this order:" "3. find_package(Kokkos 4.5...<6): not found"
  "4. the official archive: https://github.com/kokkos/kokkos/releases/download/4.7.00/kokkos-4.7.00.tar.gz:" "5. pygenten 0.1.5 through pip:"
  "-DMOESAIC_KOKKOS=OFF" "-DFETCHCONTENT_SOURCE_DIR_KOKKOS=DIR" "on Debian, python3-pip")
expect(no_network fails ${fetch} ${no_kokkos})

# No pip either.
file(MAKE_DIRECTORY ${WORK}/no_pip_here)
foreach(name python3 pip3 pip)
  file(WRITE ${WORK}/no_pip_here/${name} "#!/bin/sh\nexit 1\n")
  file(CHMOD ${WORK}/no_pip_here/${name} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endforeach()
set(path "$ENV{PATH}")
set(ENV{PATH} "${WORK}/no_pip_here:${path}")
expect(no_pip fails ${fetch} ${no_kokkos} "none of 'python3 -m pip', pip3 and pip works here")
set(ENV{PATH} "${path}")

# Archives with other bytes are refused, wherever they lie; what the user put there stays.
file(MAKE_DIRECTORY ${WORK}/other/pygenten-0.1.5/tpls/kokkos)
file(WRITE ${WORK}/other/pygenten-0.1.5/PKG-INFO "Metadata-Version: 2.1\nName: pygenten\nVersion: 0.1.5\n")
file(WRITE ${WORK}/other/pygenten-0.1.5/tpls/kokkos/CMakeLists.txt "message(FATAL_ERROR \"somebody else's Kokkos is run\")\n")
execute_process(COMMAND ${CMAKE_COMMAND} -E tar czf ${WORK}/other.tar.gz pygenten-0.1.5 WORKING_DIRECTORY ${WORK}/other)
file(SHA256 ${WORK}/other.tar.gz other_sha256)
foreach(name kokkos-4.7.00 pygenten-0.1.5)
  file(COPY_FILE ${WORK}/other.tar.gz ${WORK}/downloads/${name}.tar.gz)
endforeach()
expect(wrong_hash_by_hand fails ${fetch} ${no_kokkos} "downloads/kokkos-4.7.00.tar.gz is not used: its SHA-256 is ${other_sha256}, not 126b774a"
  "downloads/pygenten-0.1.5.tar.gz is not used: its SHA-256 is ${other_sha256}, not e620f05c")
if(NOT EXISTS ${WORK}/downloads/kokkos-4.7.00.tar.gz)
  message(SEND_ERROR "wrong_hash_by_hand: the user's file is gone")
endif()
execute_process(COMMAND python3 -m pip --version RESULT_VARIABLE no_pip OUTPUT_QUIET ERROR_QUIET)
if(NOT no_pip)
  file(REMOVE_RECURSE ${WORK}/downloads)
  file(COPY_FILE ${WORK}/other.tar.gz ${WORK}/index/pygenten-0.1.5.tar.gz)
  expect(wrong_hash_by_pip fails ${fetch} ${no_kokkos} "'python3 -m pip download' refused it: its SHA-256 is not e620f05c")
endif()

# Right bytes, fetched before: nothing is asked of any network.
foreach(name kokkos-4.7.00 pygenten-0.1.5)
  if(EXISTS ${DOWNLOADS}/${name}.tar.gz)
    set(origin_kokkos-4.7.00 "the official release archive")
    set(origin_pygenten-0.1.5 "the source distribution of the PyPI package pygenten 0.1.5")
    expect(fetched_before_${name} works ARGS -DBUILDS_KOKKOS=ON -DCMAKE_DISABLE_FIND_PACKAGE_Kokkos=ON -DMOESAIC_FETCH=ON -DMOESAIC_DOWNLOAD_DIR=${DOWNLOADS}
      SAYS "moesaic: Kokkos 4.7.00 is built from ${origin_${name}}")
  endif()
endforeach()
