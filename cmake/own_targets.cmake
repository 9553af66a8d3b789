# What moesaic's own tests, examples and benchmarks share. Nothing here reaches a consumer.
include_guard()
include(FetchContent)

# Our own code is clean under these; CMake's --compile-no-warning-as-error is the way out for a compiler that we have not met.
# A program says so, instead of dying of SIGILL, where the processor is not what it was built for.
function(moesaic_own target)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX,C>:-Wall;-Wextra;-Wpedantic;-Wconversion;-Wshadow>
    $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wconversion,-Wshadow>)
  set_target_properties(${target} PROPERTIES COMPILE_WARNING_AS_ERROR ON CXX_EXTENSIONS OFF)
  if(MOESAIC_NATIVE)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX,C>:-march=native> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-march=native>)
  endif()
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    target_link_libraries(${target} PRIVATE moesaic_built_for moesaic_processor_check)
  endif()
endfunction()

add_library(moesaic_built_for OBJECT ${CMAKE_CURRENT_LIST_DIR}/built_for.cpp)
add_library(moesaic_processor_check OBJECT ${CMAKE_CURRENT_LIST_DIR}/processor_check.cpp)
foreach(half moesaic_built_for moesaic_processor_check)
  target_link_libraries(${half} PRIVATE moesaic_moesaic)
  moesaic_own(${half})
endforeach()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(moesaic_processor_check PRIVATE -march=x86-64 -mno-sse3)  # whatever CMAKE_CXX_FLAGS has; no sse3, no avx
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  target_compile_options(moesaic_processor_check PRIVATE -march=armv8-a -mcpu=generic)
endif()

# Each subfolder that has a CMakeLists.txt; a folder's own file decides whether it can be built here.
function(moesaic_add_subfolders)
  file(GLOB lists LIST_DIRECTORIES NO CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*/CMakeLists.txt)
  foreach(list IN LISTS lists)
    cmake_path(GET list PARENT_PATH folder)
    add_subdirectory(${folder})
  endforeach()
endfunction()

# moesaic_need(<package> TARGET <target> DEBIAN <package> URL <url> SHA256 <hash>): the distribution's package, else a download if allowed.
# Fetched ones are configured with their own tests and install rules off, so set those variables before the call.
function(moesaic_need package)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TARGET;DEBIAN;URL;SHA256" "")
  if(TARGET ${arg_TARGET})
    return()
  endif()
  find_package(${package} CONFIG QUIET GLOBAL)
  if(TARGET ${arg_TARGET})
    message(STATUS "moesaic: ${package} ${${package}_VERSION} is installed in ${${package}_DIR}")
    return()
  endif()
  if(NOT MOESAIC_FETCH)
    message(FATAL_ERROR "moesaic: its tests, examples or benchmarks need ${package}, which is not installed, and MOESAIC_FETCH is OFF.\n"
      "Install it (on Debian: apt-get install ${arg_DEBIAN}), or set MOESAIC_FETCH=ON.")
  endif()
  message(STATUS "moesaic: ${package} is not installed (on Debian: ${arg_DEBIAN}), so it is fetched from ${arg_URL}")
  FetchContent_Declare(${package} URL ${arg_URL} URL_HASH SHA256=${arg_SHA256} DOWNLOAD_EXTRACT_TIMESTAMP ON SYSTEM)
  FetchContent_MakeAvailable(${package})
endfunction()

macro(moesaic_need_gtest)
  set(BUILD_GMOCK OFF)
  set(INSTALL_GTEST OFF)
  moesaic_need(GTest TARGET GTest::gtest_main DEBIAN libgtest-dev
    URL https://github.com/google/googletest/archive/refs/tags/v1.14.0.tar.gz
    SHA256 8ad598c73ad796e0d8280b082cebd82a630d73e73cd3c70057938a6501bba5d7)
endmacro()

macro(moesaic_need_benchmark)
  set(BENCHMARK_ENABLE_TESTING OFF)
  set(BENCHMARK_ENABLE_INSTALL OFF)
  moesaic_need(benchmark TARGET benchmark::benchmark DEBIAN libbenchmark-dev
    URL https://github.com/google/benchmark/archive/refs/tags/v1.8.3.tar.gz
    SHA256 6bc180a57d23d4d9515519f92b0c83d61b05b5bab188961f36ac7b06b0d9e9ce)
endmacro()

macro(moesaic_need_json)
  moesaic_need(nlohmann_json TARGET nlohmann_json::nlohmann_json DEBIAN nlohmann-json3-dev
    URL https://github.com/nlohmann/json/releases/download/v3.11.3/json.tar.xz
    SHA256 d6c65aca6b1ed68e7a182f4757257b107ae403032760ed6ef121c9d55e81757d)
endmacro()

macro(moesaic_need_cli11)
  moesaic_need(CLI11 TARGET CLI11::CLI11 DEBIAN libcli11-dev
    URL https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.4.2.tar.gz
    SHA256 f2d893a65c3b1324c50d4e682c0cdc021dd0477ae2c048544f39eed6654b699a)
endmacro()
