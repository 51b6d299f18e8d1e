// SPDX-License-Identifier: Apache-2.0
//
// Reads messages in the two ways that Java programs do: with the classes that protoc makes (as Flink's protobuf format does,
// which is given a class name), and with nothing but a descriptor set (as Spark's from_protobuf does). Prints one line of facts
// for each file; both ways have to see the same and to write the same bytes again.
//
//   ReadMessages DESCRIPTOR_SET FILE...        batch_* are PacketBatches, record_* PacketRecords
import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorSet;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.Message;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.wirebus.v1.Packet;
import org.wirebus.v1.PacketBatch;
import org.wirebus.v1.PacketRecord;

public final class ReadMessages {
    private static Descriptor find(FileDescriptorSet set, String name) throws Exception {
        for (FileDescriptorProto proto : set.getFileList()) {
            Descriptor found = FileDescriptor.buildFrom(proto, new FileDescriptor[0]).findMessageTypeByName(name);
            if (found != null) {
                return found;
            }
        }
        throw new IllegalArgumentException(name + " is not in the descriptor set");
    }

    private static void sameBytes(Path path, Message message, byte[] bytes) {
        if (!Arrays.equals(message.toByteArray(), bytes)) {
            throw new IllegalStateException(path + ": " + message.getClass() + " writes other bytes");
        }
    }

    private static Object get(Message message, String name) {
        return message.getField(message.getDescriptorForType().findFieldByName(name));
    }

    private static String facts(long sequence, Object node, int packets, long bytes) {
        return Long.toUnsignedString(sequence) + " " + node + " " + packets + " " + bytes;
    }

    private static String facts(PacketBatch batch) {
        long bytes = 0;
        for (Packet packet : batch.getPacketsList()) {
            bytes += packet.getData().size();
        }
        return facts(batch.getBatchSeq(), batch.getNode(), batch.getPacketsCount(), bytes);
    }

    private static String facts(PacketRecord record) {
        return facts(record.getBatchSeq(), record.getNode(), 1, record.getData().size());
    }

    private static String dynamicFacts(Message message, boolean batch) {
        List<?> packets = batch ? (List<?>) get(message, "packets") : List.of(message);
        long bytes = 0;
        for (Object packet : packets) {
            bytes += ((com.google.protobuf.ByteString) get((Message) packet, "data")).size();
        }
        return facts((Long) get(message, "batch_seq"), get(message, "node"), packets.size(), bytes);
    }

    public static void main(String[] arguments) throws Exception {
        FileDescriptorSet set = FileDescriptorSet.parseFrom(Files.readAllBytes(Path.of(arguments[0])));
        for (String argument : Arrays.asList(arguments).subList(1, arguments.length)) {
            Path path = Path.of(argument);
            byte[] bytes = Files.readAllBytes(path);
            boolean batch = path.getFileName().toString().startsWith("batch_");
            Message generated = batch ? PacketBatch.parseFrom(bytes) : PacketRecord.parseFrom(bytes);
            Message dynamic = DynamicMessage.parseFrom(find(set, batch ? "PacketBatch" : "PacketRecord"), bytes);
            String said = batch ? facts((PacketBatch) generated) : facts((PacketRecord) generated);
            sameBytes(path, generated, bytes);
            sameBytes(path, dynamic, bytes);
            if (!said.equals(dynamicFacts(dynamic, batch))) {
                throw new IllegalStateException(path + ": " + said + ", but " + dynamicFacts(dynamic, batch));
            }
            System.out.println(said);
        }
    }
}
