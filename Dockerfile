# gatehouse in a container:
#
#   docker build -t gatehouse .
#   docker run --name gatehouse -p 127.0.0.1:6443:6443 -v gatehouse:/var/lib/gatehouse gatehouse
#   docker exec gatehouse gatehouse kubeconfig > gatehouse.kubeconfig
#   kubectl --kubeconfig gatehouse.kubeconfig get namespaces

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY sdk/go/go.mod sdk/go/
RUN go mod download
COPY . .
# SQLite is C and needs cgo; nothing else does, so that names are looked up and users found without the C library.
RUN CGO_ENABLED=1 go build -trimpath -tags netgo,osusergo -ldflags='-s -w' -o /out/gatehouse .
# The volume takes over the owner and mode of the directory it is mounted on.
RUN mkdir -m 0700 -p /out/data

FROM gcr.io/distroless/base-debian12:nonroot
COPY --from=build /out/gatehouse /usr/local/bin/gatehouse
COPY --from=build --chown=nonroot:nonroot --chmod=0700 /out/data /var/lib/gatehouse
# Inside a container, loopback would be reachable by nobody; the host's -p decides who can connect.
ENV GATEHOUSE_DATA_DIR=/var/lib/gatehouse \
    GATEHOUSE_LISTEN=:6443
VOLUME /var/lib/gatehouse
EXPOSE 6443
USER nonroot:nonroot
ENTRYPOINT ["/usr/local/bin/gatehouse"]
CMD ["serve"]
