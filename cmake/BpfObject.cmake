# bulkhead_bpf_object(NAME): NAME.bpf.c to a CO-RE object and a libbpf skeleton; the interface target NAME_skel carries the header.
function(bulkhead_bpf_object name)
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/${name}.bpf.c)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(skeleton ${CMAKE_CURRENT_BINARY_DIR}/skel/${name}.skel.h)
  set(depfile ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.d)
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/skel)
  # -MD and DEPFILE: without them an edit of a header leaves an old object behind.
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${CLANG_BPF} -target bpf -mcpu=v3 -g -O2 -Wall -Wextra -Wno-unused-parameter -D__TARGET_ARCH_x86
            -I ${CMAKE_CURRENT_SOURCE_DIR}/include -I ${CMAKE_CURRENT_SOURCE_DIR}/lib -idirafter /usr/include/x86_64-linux-gnu
            -MD -MF ${depfile} -MT ${object} -c ${source} -o ${object}
    DEPENDS ${source}
    DEPFILE ${depfile}
    VERBATIM)
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND sh -c "'${BPFTOOL}' gen skeleton '${object}' name ${name}_bpf > '${skeleton}.tmp' && mv '${skeleton}.tmp' '${skeleton}'"
    DEPENDS ${object}
    VERBATIM)
  add_custom_target(${name}_skel_gen DEPENDS ${skeleton})
  add_library(${name}_skel INTERFACE)
  add_dependencies(${name}_skel ${name}_skel_gen)
  target_include_directories(${name}_skel SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR}/skel)
endfunction()
