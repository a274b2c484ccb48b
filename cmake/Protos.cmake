# bulkhead_proto_library(NAME ROOT [GRPC] PROTOS...): .proto files below ROOT to one C++ object library, with service stubs when GRPC is given.
function(bulkhead_proto_library name root)
  cmake_parse_arguments(ARG "GRPC" "" "PROTOS" ${ARGN})
  set(out ${CMAKE_CURRENT_BINARY_DIR})
  set(sources)
  foreach(proto ${ARG_PROTOS})
    string(REPLACE ".proto" "" stem ${proto})
    set(generated ${out}/${stem}.pb.cc ${out}/${stem}.pb.h)
    set(plugin)
    if(ARG_GRPC)
      list(APPEND generated ${out}/${stem}.grpc.pb.cc ${out}/${stem}.grpc.pb.h)
      set(plugin --grpc_out=${out} --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>)
    endif()
    set(depfile ${out}/${stem}.pb.d)
    add_custom_command(
      OUTPUT ${generated}
      COMMAND protobuf::protoc -I ${root} --cpp_out=${out} ${plugin} --dependency_out=${depfile} ${root}/${proto}
      DEPENDS ${root}/${proto}
      DEPFILE ${depfile}
      VERBATIM)
    list(APPEND sources ${generated})
  endforeach()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} SYSTEM PUBLIC ${out})
  target_link_libraries(${name} PUBLIC protobuf::libprotobuf $<$<BOOL:${ARG_GRPC}>:gRPC::grpc++>)
  if(BULKHEAD_SANITIZE)
    # The generated code is not ours to check, but must agree with ours on the layout of std::string annotations.
    target_compile_options(${name} PRIVATE -fsanitize=address -O1)
  endif()
endfunction()
