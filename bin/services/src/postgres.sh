# Makes the database files where there are none, then becomes the server.
#
# Arguments: the folder with the programs, the folder of the files, how a password is checked, the file
# with the password, the folder of the write-ahead log where it is another, the server's settings.
programs=$1 files=$2 auth=$3 password=$4 log=$5
shift 5
if [ ! -e "$files/PG_VERSION" ]; then
    "$programs/initdb" -D "$files" -U postgres -A "$auth" --pwfile="$password" \
        ${log:+-X "$log"} -E UTF8 --locale=C --no-sync || exit
fi
exec "$programs/postgres" -D "$files" "$@"
