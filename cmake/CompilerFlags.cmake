# One interface target, bulkhead_flags, that carries warnings, hardening and sanitizers to every C++ target of ours.
add_library(bulkhead_flags INTERFACE)
target_compile_options(bulkhead_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers>
  -fstack-protector-strong)
target_include_directories(bulkhead_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(bulkhead_flags INTERFACE BULKHEAD_VERSION="${PROJECT_VERSION}")

if(BULKHEAD_SANITIZE)
  target_compile_options(bulkhead_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(bulkhead_flags INTERFACE -fsanitize=address,undefined)
else()
  target_compile_definitions(bulkhead_flags INTERFACE $<$<CONFIG:RelWithDebInfo,Release>:_FORTIFY_SOURCE=2>)
  target_link_options(bulkhead_flags INTERFACE -Wl,-z,relro,-z,now)
endif()

if(BULKHEAD_FUZZ)
  target_compile_options(bulkhead_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined)
  target_link_options(bulkhead_flags INTERFACE -fsanitize=address,undefined)
endif()

# Links in a fraction of the time of the default linker, which decides how long a build of the suites takes.
find_program(LLD_LINKER ld.lld)
if(LLD_LINKER)
  target_link_options(bulkhead_flags INTERFACE -fuse-ld=lld)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

# bulkhead_library(NAME SOURCES... DEPS...): a static library of ours; DEPS are everything that it may include.
function(bulkhead_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC bulkhead_flags ${ARG_DEPS})
endfunction()
